/** The form: only the named inputs of a workflow, and what it gives. For those who do not wire. */
import { useCallback, useMemo } from "react";
import { objectAt, put, sheet, type Document } from "@/graph/document";
import type { Json } from "@/graph/json";
import type { NodeType, Port } from "@/graph/nodetype";
import { useServer } from "@/live/link";
import { ended, useShownRun } from "@/live/runs";
import { useLive } from "@/live/store";
import { showPicture } from "@/panels/viewing";
import { titleOf } from "@/session/files";
import { useCatalogue } from "@/store/catalogue";
import { activeTab, useEditor } from "@/store/editor";
import { strings } from "@/strings";
import { Field } from "@/widgets/Field";
import "@/panels/stage.css";
import "@/panels/form.css";

const words = strings.panels.form;

/** A named input with the port that it leads to. */
export interface Row {
  readonly name: string;
  readonly node: string;
  readonly type: string;
  readonly port: Port;
  readonly path: readonly string[];
  readonly value: Json | undefined;
}

/** The named inputs of a workflow, in the file's order; what leads nowhere is left out. */
export function rows(document: Document, types: ReadonlyMap<string, NodeType>): Row[] {
  const found = sheet(document);
  return Object.entries(found?.named ?? {}).flatMap(([name, target]) => {
    const dot = target.indexOf(".");
    const node = found?.nodes.get(target.slice(0, dot));
    const port = types.get(node?.type ?? "")?.inputs.find((one) => one.name === target.slice(dot + 1));
    if (!node || !port) return [];
    const path = [...node.path, "inputs", port.name];
    return [{ name, node: node.id, type: node.type, port, path, value: node.inputs[port.name] }];
  });
}

/** "negative_prompt" as a person reads it. */
export function spoken(name: string): string {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export default function FormView() {
  const tab = useEditor(activeTab);
  const types = useCatalogue((state) => state.types);
  const fields = useMemo(() => rows(tab.document, types), [tab.document, types]);
  const about = tab.document["description"];
  return (
    <main className="form-view" aria-label={words.label}>
      <section className="form-fields" aria-label={words.inputs}>
        <h1>{titleOf(tab)}</h1>
        {typeof about === "string" && about && <p className="quiet">{about}</p>}
        {fields.length === 0 && <p className="empty">{words.empty}</p>}
        <div className="form-rows">
          {fields.map((row) => <FormField key={row.name} row={row} />)}
        </div>
      </section>
      <Result tab={tab.id} />
    </main>
  );
}

function FormField({ row: { name, node, type, port, path, value } }: { readonly row: Row }) {
  const key = path.join("\n");
  const change = useCallback(
    (next: Json | undefined, merge?: string) => {
      const place = key.split("\n");
      useEditor.getState().edit(strings.edits.value(name), (document) => put(document, place, next), merge);
    },
    [key, name],
  );
  return <Field port={port} value={value} onChange={change} node={node} type={type} title={spoken(name)} />;
}

/** What the newest run gives: its pictures while it runs, then its files and values. */
function Result({ tab }: { readonly tab: string }) {
  const run = useShownRun(tab);
  const job = useServer((state) => state.past.find((one) => one.id === run?.job));
  const preview = useLive((state) => {
    const nodes = Object.values(state.tabs[tab] ?? {});
    const shown = nodes.find((node) => node.mark === "running" && node.pictures?.length) ?? nodes.findLast((node) => node.pictures?.length);
    return shown?.pictures?.at(-1);
  });
  const past = useServer((state) => state.past);
  const before = past.filter((one) => one.id !== job?.id).flatMap((one) => one.outputs.filter(isPicture)).slice(0, 12);
  const files = job?.outputs.filter(isPicture) ?? [];
  const values = Object.entries(objectAt(job?.result as Json | undefined, []));
  const busy = run !== undefined && !ended(run.state);
  return (
    <section className="form-result" aria-label={words.result}>
      <div className={`stage ${!busy && files.length > 1 ? "many" : ""}`}>
        {!busy && files.map((file) => (
          <button key={file.id} type="button" aria-label={strings.panels.gallery.open(file.name)} onClick={() => showPicture(job?.id ?? "", file.id)}>
            <img src={file.url} alt={strings.panels.gallery.picture(file.name)} />
          </button>
        ))}
        {(busy || !files.length) && preview && <img className="soft" src={preview} alt={words.result} />}
        {!preview && !files.length && <p className="quiet">{busy ? strings.panels.run.waiting : words.none}</p>}
      </div>
      {run?.state === "failed" && <p className="error-words">{run.error}</p>}
      {values.length > 0 && (
        <table className="form-values">
          <caption className="sr-only">{words.values}</caption>
          <tbody>
            {values.map(([name, value]) => (
              <tr key={name}>
                <th scope="row">{spoken(name)}</th>
                <td>{typeof value === "string" ? value : JSON.stringify(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {before.length > 0 && (
        <div className="strip-results">
          {before.map((file) => (
            <button key={file.id} type="button" aria-label={strings.panels.gallery.open(file.name)} onClick={() => showPicture("", file.id)}>
              <img src={`${file.url}?size=128`} alt="" loading="lazy" />
            </button>
          ))}
        </div>
      )}
    </section>
  );
}

function isPicture(output: { readonly media: string }): boolean {
  return output.media.startsWith("image/");
}
