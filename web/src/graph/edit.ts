/** Edits of nodes and their inputs: functions from a document to a document. None of them checks types. */
import {
  at, bodyOf, linkOf, linksOf, objectAt, parts, put, renamed, sheet as sheetOf,
  type Document, type Graph, type Node, type Path, type Sheet,
} from "@/graph/document";
import { isObject, type Json, type JsonObject } from "@/graph/json";
import type { NodeType, TypeRef } from "@/graph/nodetype";
import { real } from "@/graph/number";
import { portsOf } from "@/graph/typing";
import { isList } from "@/graph/wire";

export type Point = readonly [number, number];
export type State = "muted" | "bypassed" | "";

/** What a node id may look like. */
export const ID = /^[a-z][a-z0-9_]*$/;

/** An id that is free on a sheet, made from a wish such as "diffusion.load_model" or "Load Model". */
export function freeId(taken: ReadonlySet<string> | ReadonlyMap<string, unknown>, wish: string): string {
  const name = (wish.split(/[.:]/).at(-1) ?? "").toLowerCase().replace(/[^a-z0-9_]+/g, "_").replace(/^[^a-z]+/, "");
  const stem = name.replace(/_+$/, "") || "node";
  if (!taken.has(stem)) return stem;
  const base = stem.replace(/_?\d+$/, "");
  for (let i = 2; ; i++) if (!taken.has(`${base}_${i}`)) return `${base}_${i}`;
}

/** Put a node into a graph. */
export function withNode(document: Document, graph: Graph, id: string, data: JsonObject): Document {
  return put(document, [...graph.path, "nodes", id], data);
}

/** A new node of a type: its inputs with a default are written out, its bodies are there and empty. */
export function fresh(kind: NodeType): JsonObject {
  const inputs: Record<string, Json> = {};
  for (const port of portsOf(kind)) {
    if (port.kind === "body") inputs[port.name] = { graph: emptyBody(port.params?.length ?? 0, port.params) };
    else if (port.ui?.widget === "seed" && port.default === undefined) inputs[port.name] = null;
    else if (port.default !== undefined && port.default !== null) inputs[port.name] = widened(port.default, port.type);
    else if (port.default === undefined && !port.optional) {
      const value = start(kind, port.name);
      if (value !== undefined) inputs[port.name] = value;
    }
  }
  return { type: kind.id, inputs };
}

/** A default with its whole numbers as floats where floats are wanted: JavaScript reads 5.0 as 5. */
function widened(value: Json, type: TypeRef): Json {
  if (isList(type)) return Array.isArray(value) ? value.map((item: Json) => widened(item, type[1])) : value;
  return type === "float" && typeof value === "number" ? real(value) : value;
}

/** What a plain input that must be given begins with. */
function start(kind: NodeType, name: string): Json | undefined {
  const port = kind.inputs.find((port) => port.name === name);
  if (!port || typeof port.type !== "string") return undefined;
  const { schema = {} } = port;
  if (schema.enum?.length) return schema.enum[0];
  if (port.type === "str") return schema.minLength ? undefined : "";
  if (port.type === "bool") return false;
  if (port.type !== "int" && port.type !== "float") return undefined;
  return Math.max(schema.minimum ?? 0, schema.exclusiveMinimum !== undefined ? schema.exclusiveMinimum + 1 : 0);
}

function emptyBody(count: number, params: readonly unknown[] = []): JsonObject {
  const names = count === 1 ? ["value"] : count === 2 ? ["value", "item"] : params.map((_, i) => `value_${i + 1}`);
  return { inputs: names, outputs: {}, nodes: {} };
}

/** Write a literal, a link or a body at an input. */
export function withInput(document: Document, node: Node, input: string, value: Json | undefined): Document {
  return put(document, [...node.path, "inputs", input], value);
}

/** Write a field of the node itself: its title, its note, its state. An empty text takes it out. */
export function withField(document: Document, node: Node, field: "title" | "note" | "state", value: string): Document {
  return put(document, [...node.path, field], value === "" ? undefined : value);
}

/** Mute, bypass, or put back in service. */
export function withState(document: Document, nodes: readonly Node[], state: State): Document {
  return nodes.reduce((now, node) => withField(now, node, "state", state), document);
}

/** Put a link at an input; into a list it is added. A null item takes the place of the whole. */
export function linked(document: Document, node: Node, input: string, link: string, append: boolean): Document {
  const now = at(document, [...node.path, "inputs", input]);
  if (!append) return withInput(document, node, input, { link });
  const items: readonly Json[] = Array.isArray(now) ? (now as readonly Json[]) : linkOf(now) !== null ? [now as Json] : [];
  return withInput(document, node, input, [...items, { link }]);
}

/** Take a link out of an input; what is left there is a literal again, or nothing. */
export function unlinked(document: Document, node: Node, input: string, item: number, kind?: NodeType): Document {
  const now = at(document, [...node.path, "inputs", input]);
  if (item >= 0 && Array.isArray(now)) {
    const left = (now as readonly Json[]).filter((_, i) => i !== item);
    return withInput(document, node, input, left.length ? left : undefined);
  }
  const port = kind?.inputs.find((port) => port.name === input);
  const value = port?.default !== undefined && port.default !== null ? port.default : kind ? start(kind, input) : undefined;
  return withInput(document, node, input, value);
}

/** Say what a body gives; undefined takes that output out. */
export function withBodyOutput(document: Document, body: Graph, name: string, link: string | undefined): Document {
  return put(document, [...body.path, "outputs", name], link);
}

/** Change where things stand, or other entries of the layout. `undefined` takes an entry out. */
export function withLayout(
  document: Document, sheet: Sheet, changes: Readonly<Record<string, JsonObject | undefined>>,
): Document {
  const path = [...sheet.path, "layout"];
  const layout: Record<string, Json> = { ...objectAt(document, path) };
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) delete layout[key];
    else layout[key] = value;
  }
  if (!Object.keys(layout).length && at(document, path) === undefined) return document;
  return put(document, path, layout);
}

/** Change some fields of one entry of the layout; undefined takes a field out. */
export function withPlace(
  document: Document, sheet: Sheet, key: string, fields: Readonly<Record<string, Json | undefined>>,
): Document {
  const entry: Record<string, Json> = { ...objectAt(document, [...sheet.path, "layout", key]) };
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) delete entry[name];
    else entry[name] = value;
  }
  return withLayout(document, sheet, { [key]: Object.keys(entry).length ? entry : undefined });
}

/** Put nodes, frames and notes elsewhere. */
export function moved(document: Document, sheet: Sheet, places: ReadonlyMap<string, Point>): Document {
  const changes: Record<string, JsonObject> = {};
  for (const [key, [x, y]] of places) {
    changes[key] = { ...objectAt(sheet.layout, [key]), at: [Math.round(x), Math.round(y)] };
  }
  return withLayout(document, sheet, changes);
}

/** Take nodes, frames, notes away, with the links and names that led to them. */
export function removed(document: Document, name: string, ids: Iterable<string>): Document {
  const sheet = sheetOf(document, name);
  if (!sheet) return document;
  const gone = withInside(sheet, ids);
  let now = document;
  for (const node of sheet.nodes.values()) {
    if (gone.has(node.id)) {
      if (!gone.has(node.graph.owner)) now = put(now, node.path, undefined);
      continue;
    }
    for (const input of Object.keys(node.inputs)) now = cut(now, node, input, (link) => gone.has(parts(link).node) && link.includes("."));
  }
  for (const graph of sheet.graphs) {
    if (gone.has(graph.owner)) continue;
    for (const [output, link] of graph.outputs) {
      if (link.includes(".") && gone.has(parts(link).node)) now = put(now, [...graph.path, "outputs", output], undefined);
    }
  }
  for (const [key, target] of Object.entries(sheet.named)) {
    if (gone.has(parts(target).node)) now = put(now, [...sheet.path, "inputs", key], undefined);
  }
  const all = new Set([...gone, ...ids]);
  const stale = Object.keys(sheet.layout).filter((key) => all.has(key) || all.has(parts(key).node));
  return stale.length ? withLayout(now, sheet, Object.fromEntries(stale.map((key) => [key, undefined]))) : now;
}

/** Nodes with all the nodes in their bodies. */
export function withInside(sheet: Sheet, ids: Iterable<string>): Set<string> {
  const found = new Set<string>();
  const stack = [...ids];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    const node = sheet.nodes.get(id);
    if (!node || found.has(id)) continue;
    found.add(id);
    for (const body of Object.values(node.bodies)) stack.push(...body.ids);
  }
  return found;
}

function cut(document: Document, node: Node, input: string, gone: (link: string) => boolean): Document {
  const value = node.inputs[input];
  const links = linksOf(value).filter(({ link }) => gone(link));
  if (!links.length) return document;
  const path = [...node.path, "inputs", input];
  if (links[0]?.item === -1) return put(document, path, undefined);
  const dropped = new Set(links.map(({ item }) => item));
  const left = (value as readonly Json[]).filter((_, i) => !dropped.has(i));
  return put(document, path, left.length ? left : undefined);
}

/** Data with other links in it: in the inputs of nodes, in the outputs of bodies, however deep. */
export function relinked(data: JsonObject, to: (link: string) => string): JsonObject {
  const value = (value: Json): Json => {
    const link = linkOf(value);
    if (link !== null) {
      const other = to(link);
      return other === link ? value : { link: other };
    }
    const body = bodyOf(value);
    if (body) {
      const other = graph(body);
      return other === body ? value : { graph: other };
    }
    if (!Array.isArray(value)) return value;
    const old: readonly Json[] = value;
    const items: Json = old.map((item) => (linkOf(item) === null ? item : { link: to(linkOf(item) ?? "") }));
    return linksOf(old).some(({ link }) => to(link) !== link) ? items : old;
  };
  const each = (object: JsonObject, change: (value: Json) => Json): JsonObject => {
    let changed = false;
    const rows = Object.entries(object).map(([key, old]) => {
      const now = change(old);
      changed ||= now !== old;
      return [key, now] as const;
    });
    return changed ? Object.fromEntries(rows) : object;
  };
  const field = (object: JsonObject, name: string, change: (value: Json) => Json): JsonObject => {
    const old = object[name];
    if (!isObject(old)) return object;
    const now = each(old, change);
    return now === old ? object : { ...object, [name]: now };
  };
  const node = (data: Json): Json => (isObject(data) ? field(data, "inputs", value) : data);
  const graph = (data: JsonObject): JsonObject =>
    field(field(data, "nodes", node), "outputs", (link) => (typeof link === "string" ? to(link) : link));
  return graph(data);
}

/** Give a node another id, in every link, name and place. */
export function renamedNode(document: Document, name: string, old: string, id: string): Document {
  return renamedNodes(document, name, new Map([[old, id]]));
}

/** Give nodes other ids. */
export function renamedNodes(document: Document, name: string, names: ReadonlyMap<string, string>): Document {
  const sheet = sheetOf(document, name);
  if (!sheet) return document;
  const target = (text: string) => {
    const { node, output } = parts(text);
    const other = names.get(node);
    return other !== undefined && text.includes(".") ? `${other}.${output}` : text;
  };
  const inner = (data: JsonObject): JsonObject => {
    const nodes = data["nodes"];
    if (!isObject(nodes)) return data;
    let changed = false;
    const rows = Object.entries(nodes).map(([id, node]) => {
      const next = isObject(node) ? deepened(node, inner) : node;
      changed ||= next !== node || names.has(id);
      return [names.get(id) ?? id, next] as const;
    });
    return changed ? { ...data, nodes: Object.fromEntries(rows) } : data;
  };
  let data = inner(relinked(sheet.data, target));
  const inputs = data["inputs"];
  if (isObject(inputs)) {
    const rows = Object.entries(inputs).map(([key, to]) => [key, typeof to === "string" ? target(to) : to] as const);
    data = { ...data, inputs: Object.fromEntries(rows) };
  }
  const layout = data["layout"];
  if (isObject(layout)) {
    const keys = new Map(Object.keys(layout).map((key) => [key, names.get(key) ?? target(key)]));
    data = { ...data, layout: renamed(layout, keys) };
  }
  return put(document, sheet.path, data);
}

function deepened(node: JsonObject, change: (body: JsonObject) => JsonObject): JsonObject {
  const inputs = node["inputs"];
  if (!isObject(inputs)) return node;
  let now = node;
  for (const [input, value] of Object.entries(inputs)) {
    const body = bodyOf(value);
    const other = body && change(body);
    if (other && other !== body) now = put(now, ["inputs", input], { graph: other });
  }
  return now;
}

/** Give an input of a body another name, also where the nodes in it use it. */
export function renamedParam(document: Document, body: Graph, old: string, name: string): Document {
  const data = objectAt(document, body.path);
  const inputs = body.inputs.map((input) => (input === old ? name : input));
  return put(document, body.path, { ...relinked(data, (link) => (link === old ? name : link)), inputs });
}

/** Give a named input or output another name, in its place. */
export function renamedName(
  document: Document, sheet: Sheet, field: "inputs" | "outputs", old: string, name: string,
): Document {
  const path: Path = [...sheet.path, field];
  return put(document, path, renamed(objectAt(document, path), new Map([[old, name]])));
}
