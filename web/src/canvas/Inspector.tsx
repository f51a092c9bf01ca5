import { useId, useState } from "react";
import { disconnect, here, rename, renameParam, setField, setInput, setPlace } from "@/canvas/actions";
import { lookOf } from "@/canvas/looks";
import { useCanvas } from "@/canvas/store";
import { setNamed } from "@/canvas/naming";
import { WorkflowInspector } from "@/canvas/WorkflowInspector";
import { linksOf, literal, objectAt, type Graph, type Node } from "@/graph/document";
import { ID } from "@/graph/edit";
import { kindOf, label as labelOf } from "@/graph/geometry";
import type { Port, TypeRef } from "@/graph/nodetype";
import { portsOf, typeOfValue } from "@/graph/typing";
import { widgetOf } from "@/graph/widget";
import { show } from "@/graph/wire";
import { useCatalogue } from "@/store/catalogue";
import { activeTab, shownSheet, useEditor } from "@/store/editor";
import { Field } from "@/widgets/Field";
import { strings } from "@/strings";
import "@/canvas/inspector.css";

/** The colours that a user may give a node; the ones of wire types stay theirs. */
const COLOURS = ["#c2553f", "#b8862b", "#5f8f3e", "#2f8f8a", "#3f73c2", "#7a5cc2", "#b04f8c"];

/** What is selected, in full: titles, notes, colours, every input with its widget. Nothing selected is the workflow. */
export default function Inspector() {
  const tab = useEditor(activeTab);
  const ready = useCatalogue((state) => state.ready);
  const { nodes, layout } = shownSheet(tab);
  const chosen = [...tab.selection];
  const [first] = chosen.flatMap((id) => nodes.get(id) ?? []);
  const dragging = useCanvas((state) => state.drag !== null);
  const extra = chosen.length === 1 && !first;
  return (
    <aside className={dragging ? "inspector dragging" : "inspector"} aria-label={strings.inspector.label}>
      {chosen.length > 0 && (
        <button type="button" className="shut" aria-label={strings.inspector.shut} onClick={() => useEditor.getState().select([])}>×</button>
      )}
      {!chosen.length && <WorkflowInspector key={tab.id} />}
      {chosen.length === 1 && first && ready && <OneNode key={first.id} node={first} />}
      {extra && <Colours ids={chosen} now={objectAt(layout, chosen)["colour"]} />}
      {chosen.length > 1 && (
        <>
          <h2>{strings.inspector.many(chosen.length)}</h2>
          <Colours ids={chosen} now={undefined} />
        </>
      )}
    </aside>
  );
}

function OneNode({ node }: { readonly node: Node }) {
  const scene = here();
  const kind = kindOf(scene, node);
  const known = scene.typing.kinds.has(node.type);
  const [summary, ...rest] = kind.doc.trim().split("\n");
  const doc = rest.join("\n").trim();
  const title = typeof node.data["title"] === "string" ? node.data["title"] : "";
  const note = typeof node.data["note"] === "string" ? node.data["note"] : "";
  const state = typeof node.data["state"] === "string" ? node.data["state"] : "";
  const outputs = Object.entries(scene.typing.outputs.get(node.id) ?? kind.outputs);
  const place = objectAt(scene.sheet.layout, [node.id]);
  const id = useId();
  return (
    <>
      <h2>{title || kind.title}</h2>
      <p className="type">{node.type}</p>
      <p className="doc">{known ? summary : strings.canvas.missing}</p>
      {doc && <details><summary>{strings.inspector.more}</summary><pre className="doc">{doc}</pre></details>}
      <h3>{strings.inspector.inputs}</h3>
      {portsOf(kind).filter((port) => port.kind !== "body").map((port) => <Input key={port.name} node={node} port={port} />)}
      {Object.values(node.bodies).map((body) => (
        <section key={body.port} aria-label={body.port}>
          <h3>{strings.inspector.body(body.port)}</h3>
          {body.inputs.map((name) => <ParamField key={name} body={body} name={name} />)}
        </section>
      ))}
      {outputs.length > 0 && <h3>{strings.inspector.outputs}</h3>}
      {outputs.map(([name, type]) => <Output key={name} link={`${node.id}.${name}`} name={name} type={type} />)}
      <h3>{strings.inspector.node}</h3>
      <IdField node={node} />
      <div className="labelled">
        <label htmlFor={`${id}t`}>{strings.inspector.title}</label>
        <span className="field">
          <input id={`${id}t`} value={title} placeholder={kind.title} onChange={(event) => setField(node.id, "title", event.target.value)} />
        </span>
      </div>
      <div className="labelled">
        <label htmlFor={`${id}s`}>{strings.inspector.state}</label>
        <span className="field">
          <select id={`${id}s`} value={state} onChange={(event) => setField(node.id, "state", event.target.value)}>
            <option value="">{strings.inspector.active}</option>
            <option value="muted">{strings.commands.mute}</option>
            <option value="bypassed">{strings.commands.bypass}</option>
          </select>
        </span>
      </div>
      <Colours ids={[node.id]} now={place["colour"]} />
      <div className="labelled multiline">
        <label htmlFor={`${id}n`}>{strings.inspector.note}</label>
        <textarea id={`${id}n`} className="field" value={note} onChange={(event) => setField(node.id, "note", event.target.value)} />
      </div>
    </>
  );
}

function Input({ node, port }: { readonly node: Node; readonly port: Port }) {
  const wires = useCatalogue((state) => state.wires);
  const value = node.inputs[port.name];
  const links = linksOf(value);
  const scene = here();
  const type = links.length ? typeOfValue(scene.sheet, scene.typing, value, node.graph) : port.type;
  const look = lookOf(type, wires);
  const target = `${node.id}.${port.name}`;
  return (
    <div className="input">
      <i className={`dot ${look.sign}`} style={{ "--wire": look.colour } as React.CSSProperties} title={show(type)} />
      <div className="grow">
        {links.length > 0
          ? (
            <div className="labelled linked">
              <span>{labelOf(port)}</span>
              <span className="links">
                {links.map(({ link, item }) => (
                  <span key={item} className="chip">
                    ← {link}
                    <button type="button" aria-label={`${strings.inspector.disconnect} ${link}`} title={strings.inspector.disconnect}
                      onClick={() => disconnect({ target: { node: node.id, input: port.name }, item })}>×</button>
                  </span>
                ))}
              </span>
            </div>
          )
          : widgetOf(port) === "none" && value === undefined
            ? <div className="labelled"><span className="quiet">{labelOf(port)}</span><span className="quiet small">{show(port.type)}</span></div>
            : <Field port={port} value={literal(value)} node={node.id} type={node.type}
                onChange={(next, merge) => setInput(node.id, port, next, merge)} />}
      </div>
      <Naming kind="inputs" target={target} wish={port.name} />
    </div>
  );
}

function Output({ link, name, type }: { readonly link: string; readonly name: string; readonly type: TypeRef }) {
  const wires = useCatalogue((state) => state.wires);
  const look = lookOf(type, wires);
  return (
    <div className="input">
      <i className={`dot ${look.sign}`} style={{ "--wire": look.colour } as React.CSSProperties} />
      <div className="grow labelled"><span>{name.replace(/_/g, " ")}</span><span className="quiet small">{show(type)}</span></div>
      <Naming kind="outputs" target={link} wish={name} />
    </div>
  );
}

/** Give an input or output a name of the workflow, or take it away. */
function Naming({ kind, target, wish }: { readonly kind: "inputs" | "outputs"; readonly target: string; readonly wish: string }) {
  const names = useEditor((state) => {
    const { data } = shownSheet(activeTab(state));
    const found = Object.entries(objectAt(data, [kind])).find(([, at]) => at === target);
    return found?.[0] ?? "";
  });
  const [draft, setDraft] = useState<string | null>(null);
  const say = kind === "inputs" ? strings.inspector.named : strings.inspector.nameOutput;
  const text = kind === "inputs" ? strings.inspector.name : strings.inspector.nameThisOutput;
  if (!names && draft === null) {
    return (
      <button type="button" className="pin" aria-label={`${text}: ${target}`} title={say} aria-pressed="false"
        onClick={() => setNamed(kind, target, wish)}>◇</button>
    );
  }
  return (
    <span className="naming">
      <input aria-label={say} title={say} value={draft ?? names} onChange={(event) => setDraft(event.target.value)}
        onBlur={() => {
          if (draft !== null && draft !== names) setNamed(kind, target, draft);
          setDraft(null);
        }}
        onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()} />
      <button type="button" className="pin on" aria-label={`${strings.inspector.unname}: ${names}`} title={say} aria-pressed="true"
        onClick={() => setNamed(kind, target, "")}>◆</button>
    </span>
  );
}

/** What a body is called with, by the name that its nodes use. */
function ParamField({ body, name }: { readonly body: Graph; readonly name: string }) {
  const [draft, setDraft] = useState<string | null>(null);
  const id = useId();
  const now = draft ?? name;
  const wrong = !ID.test(now) || (now !== name && body.inputs.includes(now));
  return (
    <div className="labelled">
      <label htmlFor={id}>{strings.inspector.param}</label>
      <span className="field">
        <input id={id} className="mono" value={now} aria-invalid={wrong} title={wrong ? strings.inspector.badId : undefined}
          onChange={(event) => setDraft(event.target.value)}
          onBlur={() => {
            if (!wrong && now !== name) renameParam(body, name, now);
            setDraft(null);
          }}
          onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()} />
      </span>
    </div>
  );
}

function IdField({ node }: { readonly node: Node }) {
  const [draft, setDraft] = useState<string | null>(null);
  const id = useId();
  const now = draft ?? node.id;
  const taken = now !== node.id && here().sheet.nodes.has(now);
  const problem = !ID.test(now) ? strings.inspector.badId : taken ? strings.inspector.takenId : "";
  const commit = () => {
    if (draft !== null && draft !== node.id && !problem) rename(node.id, draft);
    setDraft(null);
  };
  return (
    <div className="labelled">
      <label htmlFor={id}>{strings.inspector.id}</label>
      <span className="field">
        <input id={id} className="mono" value={now} aria-invalid={problem !== ""} aria-describedby={problem ? `${id}p` : undefined}
          onChange={(event) => setDraft(event.target.value)} onBlur={commit}
          onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()} />
      </span>
      {problem && <small id={`${id}p`} className="problem">{problem}</small>}
    </div>
  );
}

function Colours({ ids, now }: { readonly ids: readonly string[]; readonly now: unknown }) {
  return (
    <div className="labelled" role="group" aria-label={strings.inspector.colour}>
      <span>{strings.inspector.colour}</span>
      <span className="colours">
        <button type="button" className="none" aria-label={strings.inspector.noColour} aria-pressed={now === undefined}
          onClick={() => setPlace(ids, { colour: undefined }, strings.edits.colour)} />
        {COLOURS.map((colour) => (
          <button key={colour} type="button" aria-label={`${strings.inspector.colour} ${colour}`} aria-pressed={now === colour}
            style={{ background: colour }} onClick={() => setPlace(ids, { colour }, strings.edits.colour)} />
        ))}
      </span>
    </div>
  );
}
