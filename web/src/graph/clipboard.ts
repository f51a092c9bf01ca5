/** Copy, paste, duplicate. What is copied keeps its bodies, its places and the wires inside of it. */
import { sceneOf, type Scene } from "@/graph/connect";
import {
  bodyOf, linkOf, linksOf, objectAt, parts, resolve, type Document, type Graph,
} from "@/graph/document";
import { freeId, withInside, withLayout, withNode, type Point } from "@/graph/edit";
import { placeIn, pointOf } from "@/graph/geometry";
import { isObject, type Json, type JsonObject } from "@/graph/json";

/** What was copied: nodes by id, and their entries in the layout, with those of frames and notes. */
export interface Clip {
  readonly nodes: JsonObject;
  readonly layout: JsonObject;
}

export interface Pasted {
  readonly document: Document;
  readonly ids: readonly string[];
}

/** Copy nodes, frames and notes; null where there is nothing. Nodes in the body of a copied one come with it. */
export function copied(scene: Scene, ids: readonly string[], place: (id: string) => Point | undefined): Clip | null {
  const { sheet } = scene;
  const chosen = new Set(ids);
  const all = withInside(sheet, ids);
  const outer = [...sheet.nodes.values()].filter((node) => chosen.has(node.id) && !all.has(node.graph.owner));
  const layout: Record<string, Json> = {};
  for (const [key, entry] of Object.entries(sheet.layout)) {
    if (all.has(key) || all.has(parts(key).node) || chosen.has(key)) layout[key] = entry;
  }
  for (const id of all) {
    const at = place(id) ?? placeIn(sheet, id);
    if (at) layout[id] = { ...objectAt(layout, [id]), at: [...at] };
  }
  if (!outer.length && !Object.keys(layout).length) return null;
  return { nodes: Object.fromEntries(outer.map((node) => [node.id, node.data])), layout };
}

/** Paste into a graph, with the corner at a place. `wired`: links to what is around are kept where it is there. */
export function pasted(scene: Scene, clip: Clip, graph: Graph, place: Point, wired: boolean): Pasted {
  const tops = [...Object.keys(clip.nodes), ...Object.keys(clip.layout).filter((key) => key.includes(":"))];
  const corners = tops.flatMap((key) => {
    const at = pointOf(objectAt(clip.layout, [key])["at"]);
    return at ? [at] : [];
  });
  const left = Math.min(...corners.map(([x]) => x));
  const top = Math.min(...corners.map(([, y]) => y));
  const shift: Point = corners.length ? [place[0] - left, place[1] - top] : [0, 0];
  return put(scene, clip, graph, shift, wired);
}

/** Copy nodes a little lower, in the graph in which they stand, with their wires. */
export function duplicated(scene: Scene, ids: readonly string[]): Pasted {
  const clip = copied(scene, ids, () => undefined);
  const [first] = clip ? Object.keys(clip.nodes) : [];
  const graph = scene.sheet.nodes.get(first ?? "")?.graph ?? scene.sheet.root;
  return clip ? put(scene, clip, graph, [28, 28], true) : { document: scene.document, ids: [] };
}

function put(scene: Scene, clip: Clip, graph: Graph, shift: Point, wired: boolean): Pasted {
  const names = new Map<string, string>();
  const taken = new Set(scene.sheet.nodes.keys());
  for (const id of idsIn(clip.nodes)) {
    const free = freeId(taken, id);
    taken.add(free);
    names.set(id, free);
  }
  const target = (link: string): string | null => {
    const { node, output } = parts(link);
    const copy = link.includes(".") ? names.get(node) : undefined;
    if (copy !== undefined) return `${copy}.${output}`;
    return wired && resolve(scene.sheet, link, graph) !== null ? link : null;
  };
  let document = scene.document;
  const ids: string[] = [];
  for (const [id, data] of Object.entries(clip.nodes)) {
    if (!isObject(data)) continue;
    const free = names.get(id) ?? id;
    document = withNode(document, graph, free, copyOf(data, names, target, new Set()));
    ids.push(free);
  }
  const layout: Record<string, JsonObject> = {};
  const keys = new Set(Object.keys(scene.sheet.layout));
  for (const [key, entry] of Object.entries(clip.layout)) {
    if (!isObject(entry)) continue;
    const { node, output } = parts(key);
    const id = names.get(node);
    if (key.includes(".")) {
      if (id !== undefined && "seed" in entry) layout[`${id}.${output}`] = entry;
      continue;
    }
    const extra = key.includes(":");
    const free = extra ? freeExtra(keys, key) : id;
    if (free === undefined) continue;
    keys.add(free);
    if (extra) ids.push(free);
    const at = pointOf(entry["at"]);
    const outer = extra || key in clip.nodes;
    layout[free] = at && outer ? { ...entry, at: [Math.round(at[0] + shift[0]), Math.round(at[1] + shift[1])] } : entry;
  }
  return { document: withLayout(document, sceneOf(document, scene).sheet, layout), ids };
}

function freeExtra(taken: ReadonlySet<string>, key: string): string {
  const [kind = "note"] = key.split(":");
  for (let i = 1; ; i++) if (!taken.has(`${kind}:${i}`)) return `${kind}:${i}`;
}

/** Every id of some nodes and of those in their bodies. */
export function idsIn(nodes: JsonObject): string[] {
  return Object.entries(nodes).flatMap(([id, data]) => {
    const inputs = objectAt(data, ["inputs"]);
    return [id, ...Object.values(inputs).flatMap((value) => idsIn(objectAt(bodyOf(value) ?? undefined, ["nodes"])))];
  });
}

/**
 * A node with other ids in it and other links. `target` gives null for a link that is dropped; `own` are the names
 * that the bodies around give it, which stay.
 */
export function copyOf(
  data: JsonObject, names: ReadonlyMap<string, string>, target: (link: string) => string | null, own: ReadonlySet<string>,
): JsonObject {
  const link = (text: string) => (own.has(text) ? text : target(text));
  const inputs: Record<string, Json> = {};
  for (const [name, value] of Object.entries(objectAt(data, ["inputs"]))) {
    const next = valueOf(value);
    if (next !== undefined) inputs[name] = next;
  }
  function valueOf(value: Json): Json | undefined {
    const text = linkOf(value);
    if (text !== null) {
      const other = link(text);
      return other === null ? undefined : { link: other };
    }
    const body = bodyOf(value);
    if (body) return { graph: bodyCopy(body) };
    if (!Array.isArray(value) || !linksOf(value).length) return value;
    return (value as readonly Json[]).flatMap((item) => valueOf(item) ?? []);
  }
  function bodyCopy(body: JsonObject): JsonObject {
    const params = Array.isArray(body["inputs"]) ? body["inputs"].filter((n) => typeof n === "string") : [];
    const inner = new Set([...own, ...params]);
    const nodes = Object.entries(objectAt(body, ["nodes"])).map(([id, node]) =>
      [names.get(id) ?? id, isObject(node) ? copyOf(node, names, target, inner) : node] as const);
    const outputs = Object.entries(objectAt(body, ["outputs"])).flatMap(([name, text]) => {
      const other = typeof text === "string" ? (inner.has(text) ? text : target(text)) : null;
      return other === null ? [] : [[name, other] as const];
    });
    return { ...body, outputs: Object.fromEntries(outputs), nodes: Object.fromEntries(nodes) };
  }
  return "inputs" in data ? { ...data, inputs } : data;
}
