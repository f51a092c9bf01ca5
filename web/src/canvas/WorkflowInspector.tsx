import { useState } from "react";
import { here } from "@/canvas/actions";
import { lookOf } from "@/canvas/looks";
import { addNamed, moveNamed, renameNamed, setAbout, type Side } from "@/canvas/naming";
import { titleOf } from "@/canvas/useSketch";
import { objectAt, isLiteral, parts, type Node } from "@/graph/document";
import type { TypeRef } from "@/graph/nodetype";
import { kindOf } from "@/graph/geometry";
import { portOf, portsOf, typeAt } from "@/graph/typing";
import { show } from "@/graph/wire";
import { useCatalogue } from "@/store/catalogue";
import { useEditor } from "@/store/editor";
import { useSettings } from "@/store/settings";
import { strings } from "@/strings";

const words = strings.inspector;

/** The workflow itself: what it is called, what it takes and gives by name, which packs it needs. */
export function WorkflowInspector() {
  const { sheet } = here();
  const text = (field: string) => (typeof sheet.data[field] === "string" ? sheet.data[field] : "");
  return (
    <>
      <div className="inspector-head">
        <p className="type">{sheet.name ? words.subWorkflow : words.workflow}</p>
        <button type="button" className="pin" aria-label={strings.panels.close} onClick={() => useSettings.getState().setAbout(false)}>×</button>
      </div>
      <input className="workflow-title" aria-label={words.title} value={text("name")} placeholder={strings.panels.files.untitled}
        onChange={(event) => setAbout("name", event.target.value)} />
      <textarea className="field workflow-about" aria-label={words.description} value={text("description")} placeholder={words.describe}
        rows={Math.min(8, Math.max(2, Math.ceil(text("description").length / 38)))}
        onChange={(event) => setAbout("description", event.target.value)} />
      <Names side="inputs" />
      <Names side="outputs" />
      {!sheet.name && <Packs />}
    </>
  );
}

function Names({ side }: { readonly side: Side }) {
  const { sheet } = here();
  const names = Object.entries(objectAt(sheet.data, [side])).filter((row): row is [string, string] => typeof row[1] === "string");
  const taken = new Set(names.map(([, target]) => target));
  const inputs = side === "inputs";
  return (
    <section aria-label={words[side]}>
      <h3>{words[side]}</h3>
      <p className="say">{names.length ? (inputs ? words.formShows : words.gives) : inputs ? words.noInputs : words.noOutputs}</p>
      <ol className="names">
        {names.map(([name, target], i) => <Name key={name} side={side} name={name} target={target} first={i === 0} last={i === names.length - 1} />)}
      </ol>
      <Adding side={side} taken={taken} />
    </section>
  );
}

function Name({ side, name, target, first, last }: {
  readonly side: Side;
  readonly name: string;
  readonly target: string;
  readonly first: boolean;
  readonly last: boolean;
}) {
  const wires = useCatalogue((state) => state.wires);
  const [draft, setDraft] = useState<string | null>(null);
  const { sheet, typing } = here();
  const { node: id, output: field } = parts(target);
  const node = sheet.nodes.get(id);
  const port = side === "inputs" ? portOf(typing.kinds.get(node?.type ?? ""), field) : undefined;
  const type: TypeRef = side === "inputs" ? (port?.type ?? "any") : typeAt(sheet, typing, target, sheet.root);
  const lost = !node || (side === "inputs" && typing.kinds.has(node.type) && !port);
  const look = lookOf(type, wires);
  const end = () => {
    if (draft !== null && draft !== name && draft !== "") renameNamed(side, name, draft);
    setDraft(null);
  };
  return (
    <li>
      <i className={`dot ${look.sign}`} style={{ "--wire": look.colour } as React.CSSProperties} title={show(type)} />
      <span className="grow">
        <input className="mono" aria-label={words.nameOf(target)} value={draft ?? name} onChange={(event) => setDraft(event.target.value)} onBlur={end}
          onKeyDown={(event) => {
            if (event.key === "Enter") event.currentTarget.blur();
            if (event.altKey && event.key === "ArrowUp") moveNamed(side, name, -1);
            if (event.altKey && event.key === "ArrowDown") moveNamed(side, name, 1);
          }} />
        {lost
          ? <span className="problem">{target} {words.nowhere}</span>
          : <button type="button" className="place" title={words.goTo(target)} onClick={() => useEditor.getState().show(sheet.name ? `graph:${sheet.name}/${id}` : id, side === "inputs" ? field : "")}>{target}</button>}
      </span>
      <button type="button" className="pin" aria-label={words.earlier(name)} disabled={first} onClick={() => moveNamed(side, name, -1)}>↑</button>
      <button type="button" className="pin" aria-label={words.later(name)} disabled={last} onClick={() => moveNamed(side, name, 1)}>↓</button>
      <button type="button" className="pin" aria-label={words.unnameOne(name)} onClick={() => renameNamed(side, name, "")}>×</button>
    </li>
  );
}

/** What could be named: its options are made when it is opened, because there may be thousands. */
function Adding({ side, taken }: { readonly side: Side; readonly taken: ReadonlySet<string> }) {
  const [open, setOpen] = useState(false);
  const scene = here();
  const say = side === "inputs" ? words.addInput : words.addOutput;
  const fields = (node: Node): readonly string[] => (side === "inputs"
    ? portsOf(kindOf(scene, node)).filter((port) => port.kind !== "body" && (node.inputs[port.name] === undefined || isLiteral(node.inputs[port.name])))
      .map((port) => port.name)
    : node.graph === scene.sheet.root ? Object.keys(scene.typing.outputs.get(node.id) ?? {}) : []);
  const groups = open
    ? [...scene.sheet.nodes.values()].map((node) => ({ node, free: fields(node).filter((field) => !taken.has(`${node.id}.${field}`)) })).filter(({ free }) => free.length)
    : [];
  return (
    <select className="adding" aria-label={say} value="" onFocus={() => setOpen(true)} onPointerDown={() => setOpen(true)} onBlur={() => setOpen(false)}
      onChange={(event) => addNamed(side, event.target.value, parts(event.target.value).output)}>
      <option value="">{say}</option>
      {groups.map(({ node, free }) => (
        <optgroup key={node.id} label={`${titleOf(scene, node)} · ${node.id}`}>
          {free.map((field) => <option key={field} value={`${node.id}.${field}`}>{field.replace(/_/g, " ")}</option>)}
        </optgroup>
      ))}
    </select>
  );
}

/** The packs of its nodes: as the file says it, and else by the first part of their types. */
function Packs() {
  const types = useCatalogue((state) => state.types);
  const ready = useCatalogue((state) => state.ready);
  const { sheet, document } = here();
  const said = objectAt(sheet.data, ["requires"]);
  const used = new Map<string, boolean>();
  const sheets = [sheet.data, ...Object.values(objectAt(document, ["graphs"]))];
  for (const type of sheets.flatMap((data) => typesIn(data))) {
    const [part = "", name] = type.split(".");
    if (name !== undefined) used.set(part, (used.get(part) ?? true) && (!ready || types.has(type)));
  }
  if (!used.size) return null;
  const rows = [...used].sort(([a], [b]) => a.localeCompare(b));
  return (
    <section aria-label={words.requires}>
      <h3>{words.requires}</h3>
      <ul className="packs">
        {rows.map(([part, there]) => (
          <li key={part}>
            <span>{part}</span>
            <span className="quiet mono">{typeof said[part] === "string" ? said[part] : ""}</span>
            {!there && <b className="problem">{words.notHere}</b>}
          </li>
        ))}
      </ul>
      {rows.some(([part]) => said[part] === undefined) && <p className="say">{words.unwritten}</p>}
    </section>
  );
}

/** Every node type that is written in some data. */
function typesIn(data: unknown): string[] {
  if (typeof data !== "object" || data === null) return [];
  return Object.entries(data).flatMap(([key, value]) => (key === "type" && typeof value === "string" ? [value] : typesIn(value)));
}
