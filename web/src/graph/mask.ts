/** Which pictures are masks, and over which pictures of a workflow a mask is painted. */
import { linksOf, literal, resolve, type Node, type Sheet } from "@/graph/document";
import type { NodeType } from "@/graph/nodetype";
import { widgetOf } from "@/graph/widget";

type Types = ReadonlyMap<string, NodeType>;

/** Whether what a node loads is a mask: only nodes that make masks of it read it. */
export function isMask(sheet: Sheet, types: Types, id: string): boolean {
  const readers = [...(neighbours(sheet).readers.get(id) ?? [])];
  return readers.length > 0 && readers.every((reader) => {
    const given = Object.values(types.get(sheet.nodes.get(reader)?.type ?? "")?.outputs ?? {});
    return given.length > 0 && given.every((type) => type === "Mask");
  });
}

/** The names of the pictures that are written at a node's inputs. */
export function picturesAt(node: Node, types: Types): string[] {
  return (types.get(node.type)?.inputs ?? []).flatMap((port) => {
    const value = widgetOf(port) === "image" ? literal(node.inputs[port.name]) : undefined;
    return typeof value === "string" && value ? [value] : [];
  });
}

/**
 * The nodes whose pictures a mask may belong to, the likeliest first: its own node, then what meets the mask where it
 * is used, then all others. What is made with the mask is none of them.
 */
export function backdrops(sheet: Sheet, id: string): string[] {
  const { sources, readers } = neighbours(sheet);
  const after = new Set(spread(id, readers));
  const found = new Set([id]);
  for (const reader of after) {
    for (const source of spread(reader, sources)) if (!after.has(source)) found.add(source);
  }
  for (const other of sheet.nodes.keys()) if (!after.has(other)) found.add(other);
  return [...found];
}

type Ways = ReadonlyMap<string, ReadonlySet<string>>;

/** A node and all that is reached from it, the nearest first. */
function spread(start: string, ways: Ways): string[] {
  const found = new Set([start]);
  for (const id of found) for (const next of ways.get(id) ?? []) found.add(next);
  return [...found];
}

/** Which nodes each node reads, and which read it. What a loop is called with stands for the loop. */
function neighbours(sheet: Sheet): { readonly sources: Ways; readonly readers: Ways } {
  const sources = new Map<string, Set<string>>();
  const readers = new Map<string, Set<string>>();
  const add = (ways: Map<string, Set<string>>, from: string, to: string) => {
    const known = ways.get(from);
    if (known) known.add(to);
    else ways.set(from, new Set([to]));
  };
  for (const node of sheet.nodes.values()) {
    const links = Object.values(node.inputs).flatMap((value) => linksOf(value).map(({ link }) => resolve(sheet, link, node.graph)));
    const given = Object.values(node.bodies).flatMap((body) => body.outputs.map(([, link]) => resolve(sheet, link, body)));
    for (const source of [...links, ...given]) {
      if (!source) continue;
      const from = "ids" in source ? source.owner : source.id;
      add(sources, node.id, from);
      add(readers, from, node.id);
    }
  }
  return { sources, readers };
}
