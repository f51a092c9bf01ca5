/** Sub-workflows: made of some nodes, written out again; and nodes that move into the body of a loop, or out. */
import { copyOf } from "@/graph/clipboard";
import { sceneOf, type Scene } from "@/graph/connect";
import {
  chain, linksOf, objectAt, parts, put, resolve, sheet as sheetOf, type Document, type Graph, type Node, type Sheet,
} from "@/graph/document";
import { freeId, relinked, withField, withInside, withLayout, withNode, type Point } from "@/graph/edit";
import { pointOf } from "@/graph/geometry";
import { isObject, type Json, type JsonObject } from "@/graph/json";

export interface Made {
  readonly document: Document;
  readonly id: string;
}

/** Make a sub-workflow called `name` of nodes of one graph, and a node that runs it. A text says why it cannot be. */
export function madeSubgraph(scene: Scene, ids: readonly string[], name: string): Made | string {
  const { sheet } = scene;
  const nodes = ids.flatMap((id) => sheet.nodes.get(id) ?? []);
  const [first] = nodes;
  if (!first) return "select the nodes that it should be made of";
  const home = first.graph;
  if (nodes.some((node) => node.graph !== home)) return "select nodes that stand in one frame";
  const members = withInside(sheet, ids);
  const id = freeId(sheet.nodes, name);

  const inputs: Record<string, string> = {};
  const given: Record<string, Json> = {};
  const exposed = new Map<string, string>();
  const expose = (target: string) => {
    const known = exposed.get(target);
    if (known) return known;
    const { node, output } = parts(target);
    const taken = new Set(Object.keys(inputs));
    const wish = taken.has(output) ? `${node}_${output}` : output;
    const free = freeId(taken, wish);
    inputs[free] = target;
    exposed.set(target, free);
    return free;
  };
  const outside = (link: string, scope: Graph) => {
    const source = resolve(sheet, link, scope);
    if (!source) return true;
    return !members.has("ids" in source ? source.owner : source.id);
  };
  const without = new Map<string, string[]>();
  for (const member of members) {
    const node = sheet.nodes.get(member);
    if (!node) continue;
    for (const [input, value] of Object.entries(node.inputs)) {
      const links = linksOf(value);
      const out = links.filter(({ link }) => outside(link, node.graph));
      if (!out.length) continue;
      if (out.length < links.length) return `the list at ${member}.${input} has links from inside and from outside`;
      given[expose(`${member}.${input}`)] = value;
      without.set(member, [...(without.get(member) ?? []), input]);
    }
    for (const body of Object.values(node.bodies)) {
      const loose = body.outputs.find(([, link]) => outside(link, body));
      if (loose) return `what the body of ${member} gives, ${loose[1]}, is not selected; select it too`;
    }
  }

  const outputs: Record<string, string> = {};
  const renamed = new Map<string, string>();
  const give = (link: string) => {
    let free = renamed.get(link);
    if (!free) {
      const { node, output } = parts(link);
      free = freeId(new Set(Object.keys(outputs)), output in outputs ? `${node}_${output}` : output);
      outputs[free] = link;
      renamed.set(link, free);
    }
    return `${id}.${free}`;
  };
  const redirect = (link: string) => (link.includes(".") && members.has(parts(link).node) ? give(link) : link);

  let inner: JsonObject = {};
  for (const node of nodes) inner = { ...inner, [node.id]: stripped(node.data, node.id, without) };
  let outer: JsonObject = scene.document;
  for (const node of nodes) outer = put(outer, node.path, undefined);
  const data = relinked(objectAt(outer, sheet.path), redirect);
  const named = Object.entries(objectAt(data, ["inputs"])).map(([key, target]) => {
    const inside = typeof target === "string" && members.has(parts(target).node);
    return [key, inside ? `${id}.${expose(target)}` : target] as const;
  });
  outer = put(outer, sheet.path, "inputs" in data ? { ...data, inputs: Object.fromEntries(named) } : data);

  const places: Record<string, Json> = {};
  const points: Point[] = [];
  for (const [key, entry] of Object.entries(sheet.layout)) {
    if (!members.has(parts(key).node)) continue;
    places[key] = entry;
    const at = isObject(entry) ? pointOf(entry["at"]) : undefined;
    if (at && ids.includes(key)) points.push(at);
  }
  const corner: Point = points.length
    ? [Math.min(...points.map(([x]) => x)), Math.min(...points.map(([, y]) => y))]
    : [0, 0];
  const graph = { name, inputs, outputs, nodes: inner, layout: places };
  outer = put(outer, ["graphs", name], graph);
  outer = put(outer, [...home.path, "nodes", id], { type: `graph:${name}`, inputs: given });
  const gone = Object.fromEntries(Object.keys(places).map((key) => [key, undefined]));
  const done = sheetOf(outer, sheet.name);
  return { document: done ? withLayout(outer, done, { ...gone, [id]: { at: [...corner] } }) : outer, id };
}

/** A node's data without some inputs, of the nodes in its bodies too. */
function stripped(data: JsonObject, id: string, without: ReadonlyMap<string, readonly string[]>): JsonObject {
  const gone = without.get(id) ?? [];
  const inputs: Record<string, Json> = {};
  for (const [name, value] of Object.entries(objectAt(data, ["inputs"]))) {
    if (gone.includes(name)) continue;
    const body = isObject(value) && isObject(value["graph"]) ? value["graph"] : null;
    if (!body || Object.keys(value as JsonObject).length !== 1) {
      inputs[name] = value;
      continue;
    }
    const nodes = Object.entries(objectAt(body, ["nodes"])).map(([inner, node]) =>
      [inner, isObject(node) ? stripped(node, inner, without) : node] as const);
    inputs[name] = { graph: { ...body, nodes: Object.fromEntries(nodes) } };
  }
  return { ...data, inputs };
}

/** Write out the sub-workflow that a node runs. */
export function unpacked(scene: Scene, id: string): { readonly document: Document; readonly ids: readonly string[] } | null {
  const { sheet } = scene;
  const node = sheet.nodes.get(id);
  const inner = node?.type.startsWith("graph:") ? sheetOf(scene.document, node.type.slice(6)) : null;
  if (!node || !inner) return null;
  const taken = new Set([...sheet.nodes.keys()].filter((other) => other !== id));
  const names = new Map<string, string>();
  for (const other of inner.nodes.keys()) {
    const free = freeId(taken, other);
    taken.add(free);
    names.set(other, free);
  }
  const target = (link: string) => {
    const { node: other, output } = parts(link);
    return link.includes(".") ? `${names.get(other) ?? other}.${output}` : link;
  };
  let document = put(scene.document, node.path, undefined);
  const state = node.data["state"];
  const ids: string[] = [];
  for (const other of inner.root.ids) {
    const data = inner.nodes.get(other)?.data;
    if (!data) continue;
    const copy = copyOf(data, names, target, new Set());
    const free = names.get(other) ?? other;
    document = withNode(document, node.graph, free, copy);
    ids.push(free);
  }
  let done = sheetOf(document, sheet.name);
  for (const [name, place] of Object.entries(inner.named)) {
    const value = node.inputs[name];
    const home = done?.nodes.get(names.get(parts(place).node) ?? "");
    if (value === undefined || !home) continue;
    document = put(document, [...home.path, "inputs", parts(place).output], value);
    done = sheetOf(document, sheet.name);
  }
  if (state === "muted" || state === "bypassed") {
    for (const free of ids) {
      const home = done?.nodes.get(free);
      if (home) document = withField(document, home, "state", state);
    }
  }
  const given = new Map(inner.root.outputs.map(([name, link]) => [`${id}.${name}`, target(link)]));
  const data = relinked(objectAt(document, sheet.path), (link) => given.get(link) ?? link);
  const named = Object.entries(objectAt(data, ["inputs"])).map(([key, place]) => {
    const at = typeof place === "string" && parts(place).node === id ? inner.named[parts(place).output] : undefined;
    return [key, at === undefined ? place : target(at)] as const;
  });
  document = put(document, sheet.path, "inputs" in data ? { ...data, inputs: Object.fromEntries(named) } : data);
  return { document: placed(document, sheet, inner, id, names), ids };
}

function placed(document: Document, sheet: Sheet, inner: Sheet, id: string, names: ReadonlyMap<string, string>): Document {
  const corner = pointOf(objectAt(sheet.layout, [id])["at"]) ?? [0, 0];
  const points = inner.root.ids.flatMap((other) => {
    const at = pointOf(objectAt(inner.layout, [other])["at"]);
    return at ? [at] : [];
  });
  const left = points.length ? Math.min(...points.map(([x]) => x)) : 0;
  const top = points.length ? Math.min(...points.map(([, y]) => y)) : 0;
  const layout: Record<string, JsonObject | undefined> = { [id]: undefined };
  for (const [key, entry] of Object.entries(inner.layout)) {
    const { node, output } = parts(key);
    const free = names.get(node);
    if (!isObject(entry) || free === undefined) continue;
    const at = pointOf(entry["at"]);
    const outer = inner.root.ids.includes(key);
    const moved = at && outer ? { ...entry, at: [at[0] - left + corner[0], at[1] - top + corner[1]] } : entry;
    layout[key.includes(".") ? `${free}.${output}` : free] = moved;
  }
  const done = sheetOf(document, sheet.name);
  return done ? withLayout(document, done, layout) : document;
}

/** Nodes in another graph of the same sheet. A text says why they cannot stand there. */
export function movedInto(scene: Scene, ids: readonly string[], graph: Graph): Document | string {
  const { sheet } = scene;
  const members = withInside(sheet, ids);
  const nodes = ids.flatMap((id) => sheet.nodes.get(id) ?? []).filter((node) => !members.has(node.graph.owner));
  const around = chain(graph);
  if (around.some((outer) => members.has(outer.owner))) return "a loop cannot stand in itself";
  const visible = (link: string) => {
    const { node, output } = parts(link);
    if (!output) return around.some((outer) => outer.inputs.includes(node));
    const source = sheet.nodes.get(node);
    return !source || members.has(node) || around.includes(source.graph);
  };
  for (const node of nodes) {
    const hidden = linksIn(sheet, node).find((link) => !visible(link));
    if (hidden !== undefined) return `${node.id} uses ${hidden}, which cannot be seen from there`;
  }
  const tops = new Set(nodes.map((node) => node.id));
  for (const reader of sheet.nodes.values()) {
    if (members.has(reader.id)) continue;
    const seen = chain(reader.graph).includes(graph);
    const used = Object.values(reader.inputs).flatMap((value) => linksOf(value)).find(({ link }) => tops.has(parts(link).node) && link.includes("."));
    if (used && !seen) return `${reader.id} uses ${used.link}, and cannot see it there`;
  }
  for (const other of sheet.graphs) {
    const used = other.outputs.find(([, link]) => link.includes(".") && tops.has(parts(link).node));
    if (used && !members.has(other.owner) && !chain(other).includes(graph)) {
      return `${other.owner ? `the body of ${other.owner}` : "the workflow"} gives ${used[1]}, and cannot see it there`;
    }
  }
  let document = scene.document;
  for (const node of nodes) document = put(document, node.path, undefined);
  const now = sceneOf(document, scene).sheet;
  const home = now.graphs.find((other) => other.path.join("\n") === graph.path.join("\n"));
  if (!home) return "the frame is not there";
  for (const node of nodes) document = withNode(document, home, node.id, node.data);
  return document;
}

/** The links of a node to what is not in its own bodies. */
function linksIn(sheet: Sheet, node: Node): string[] {
  const inside = withInside(sheet, [node.id]);
  const found: string[] = [];
  for (const id of inside) {
    const inner = sheet.nodes.get(id);
    if (!inner) continue;
    const own = chain(inner.graph).filter((graph) => inside.has(graph.owner)).flatMap((graph) => graph.inputs);
    for (const value of Object.values(inner.inputs)) {
      for (const { link } of linksOf(value)) {
        if (link.includes(".") ? !inside.has(parts(link).node) : !own.includes(link)) found.push(link);
      }
    }
  }
  return found;
}
