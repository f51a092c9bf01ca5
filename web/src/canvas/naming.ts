/** The named inputs and outputs of a workflow, and what else it says of itself. Each change is one edit. */
import { here } from "@/canvas/actions";
import { sceneOf } from "@/graph/connect";
import { objectAt, put, type Document } from "@/graph/document";
import { freeId, renamedName } from "@/graph/edit";
import { withPort } from "@/graph/ports";
import { useEditor } from "@/store/editor";
import { strings } from "@/strings";

export type Side = "inputs" | "outputs";

function edit(label: string, change: (document: Document) => Document, merge = ""): void {
  useEditor.getState().edit(label, change, merge);
}

/** Name an input or output of a node as one of the workflow; an empty name takes it away. */
export function setNamed(side: Side, target: string, wish: string): void {
  const [old] = Object.entries(objectAt(here().sheet.data, [side])).find(([, at]) => at === target) ?? [];
  if (old === undefined) addNamed(side, target, wish);
  else renameNamed(side, old, wish);
}

/** Name one more. */
export function addNamed(side: Side, target: string, wish: string): void {
  if (!wish) return;
  edit(strings.edits.name, (document) => {
    const { sheet } = sceneOf(document, here());
    return put(document, [...sheet.path, side, freeId(new Set(Object.keys(objectAt(sheet.data, [side]))), wish)], target);
  });
}

/** Give one another name, also where a sub-workflow's own nodes are linked; an empty name takes it away. */
export function renameNamed(side: Side, old: string, wish: string): void {
  edit(strings.edits.name, (document) => {
    const { sheet } = sceneOf(document, here());
    const taken = new Set(Object.keys(objectAt(sheet.data, [side])).filter((name) => name !== old));
    if (!wish) return withPort(put(document, [...sheet.path, side, old], undefined), sheet.name, side, old, undefined);
    const name = freeId(taken, wish);
    return withPort(renamedName(document, sheet, side, old, name), sheet.name, side, old, name);
  });
}

/** Put one earlier or later: the form and a sub-workflow's node show them in this order. */
export function moveNamed(side: Side, name: string, by: number): void {
  edit(strings.edits.order, (document) => {
    const { sheet } = sceneOf(document, here());
    const rows = Object.entries(objectAt(sheet.data, [side]));
    const from = rows.findIndex(([other]) => other === name);
    const to = from + by;
    const [row] = rows.splice(from, 1);
    if (!row || to < 0 || to > rows.length) return document;
    rows.splice(to, 0, row);
    return put(document, [...sheet.path, side], Object.fromEntries(rows));
  });
}

/** Write the title or the description. */
export function setAbout(field: "name" | "description", text: string): void {
  edit(strings.edits[field === "name" ? "rename" : "describe"], (document) => {
    const { sheet } = sceneOf(document, here());
    return put(document, [...sheet.path, field], text === "" && field === "description" ? undefined : text);
  }, `about ${field}`);
}
