/** The inputs and outputs of a sub-workflow, where its nodes are used. */
import { graphNames, objectAt, parts, put, renamed, sheet as sheetOf, type Document } from "@/graph/document";
import { relinked } from "@/graph/edit";

/**
 * Every node that runs a sub-workflow, with its input or output of a name called otherwise. An input that is called
 * nothing is gone, with what is written or linked there; links to an output that is gone stay, as problems.
 */
export function withPort(
  document: Document, graph: string, side: "inputs" | "outputs", old: string, name: string | undefined,
): Document {
  if (!graph || old === name) return document;
  let now = document;
  for (const sheetName of ["", ...graphNames(document)]) {
    const sheet = sheetOf(now, sheetName);
    const users = new Set([...(sheet?.nodes.values() ?? [])].filter(({ type }) => type === `graph:${graph}`).map(({ id }) => id));
    if (!sheet || !users.size) continue;
    const hit = (link: string) => users.has(parts(link).node) && parts(link).output === old;
    const other = (link: string) => (hit(link) && name !== undefined ? `${parts(link).node}.${name}` : link);
    if (side === "outputs") {
      now = put(now, sheet.path, relinked(sheet.data, other));
      continue;
    }
    for (const id of users) {
      const place = [...(sheet.nodes.get(id)?.path ?? []), "inputs"];
      const inputs = objectAt(now, place);
      if (!Object.hasOwn(inputs, old)) continue;
      now = name === undefined ? put(now, [...place, old], undefined) : put(now, place, renamed(inputs, new Map([[old, name]])));
    }
    for (const [key, target] of Object.entries(sheet.named)) {
      if (hit(target)) now = put(now, [...sheet.path, "inputs", key], name === undefined ? undefined : other(target));
    }
  }
  return now;
}
