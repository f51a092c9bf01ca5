/**
 * The document: a workflow file as frozen JSON data, and the index that is read off it.
 *
 * A document is never changed; edits give a new one that shares what stays. A file has several sheets: its own
 * graph (named "") and one for each reusable sub-workflow. On a sheet every id is used once, also
 * in the bodies of loops, which lie on the same canvas.
 */
import { isObject, type Json, type JsonObject } from "@/graph/json";

export type Document = JsonObject;
export type Path = readonly string[];

/** The root of a sheet, or the body of a node on it. */
export interface Graph {
  readonly path: Path;
  readonly parent: Graph | null;
  /** The node whose body it is, and at which input; empty for a root. */
  readonly owner: string;
  readonly port: string;
  /** The names that a body is called with. */
  readonly inputs: readonly string[];
  /** What it gives: names with links. */
  readonly outputs: readonly (readonly [string, string])[];
  readonly ids: readonly string[];
}

export interface Node {
  readonly id: string;
  readonly type: string;
  readonly data: JsonObject;
  readonly path: Path;
  readonly graph: Graph;
  readonly inputs: JsonObject;
  /** Its bodies by the input at which they stand. */
  readonly bodies: Readonly<Record<string, Graph>>;
}

export interface Sheet {
  /** Empty for the file's own graph, else the name of the sub-workflow. */
  readonly name: string;
  readonly path: Path;
  readonly data: JsonObject;
  readonly root: Graph;
  readonly graphs: readonly Graph[];
  readonly nodes: ReadonlyMap<string, Node>;
  readonly layout: JsonObject;
  /** The named inputs: name to "node.input". */
  readonly named: Readonly<Record<string, string>>;
}

const NONE: JsonObject = Object.freeze({});
const known = new WeakMap<Document, Map<string, Sheet | null>>();

/** A document with nothing in it. */
export function blank(name: string): Document {
  return { format: 1, name, nodes: {} };
}

/** The value at a path, undefined where it leads nowhere. */
export function at(data: Json | undefined, path: Path): Json | undefined {
  let value = data;
  for (const key of path) {
    if (!isObject(value)) return undefined;
    value = Object.hasOwn(value, key) ? value[key] : undefined;
  }
  return value;
}

/** The object at a path, an empty one where there is none. */
export function objectAt(data: Json | undefined, path: Path): JsonObject {
  const found = at(data, path);
  return isObject(found) ? found : NONE;
}

/** The same data with another value at a path; undefined takes the key out. Keys keep their order. */
export function put(data: JsonObject, path: Path, value: Json | undefined): JsonObject {
  const [key, ...rest] = path;
  if (key === undefined) return isObject(value) ? value : data;
  if (rest.length) {
    const inner = data[key];
    return { ...data, [key]: put(isObject(inner) ? inner : NONE, rest, value) };
  }
  if (value === undefined) {
    if (!Object.hasOwn(data, key)) return data;
    const left = { ...data };
    delete left[key];
    return left;
  }
  return data[key] === value ? data : { ...data, [key]: value };
}

/** The same object with keys of other names, each in its place. */
export function renamed(data: JsonObject, names: ReadonlyMap<string, string>): JsonObject {
  if (!Object.keys(data).some((key) => names.has(key))) return data;
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [names.get(key) ?? key, value]));
}

/** A sheet of a document; null where there is none of that name. */
export function sheet(document: Document, name = ""): Sheet | null {
  let sheets = known.get(document);
  if (!sheets) known.set(document, (sheets = new Map<string, Sheet | null>()));
  let found = sheets.get(name);
  if (found === undefined) sheets.set(name, (found = read(document, name)));
  return found;
}

/** The names of the reusable sub-workflows. */
export function graphNames(document: Document): string[] {
  return Object.keys(objectAt(document, ["graphs"]));
}

function read(document: Document, name: string): Sheet | null {
  const path = name ? ["graphs", name] : [];
  const data = at(document, path);
  if (!isObject(data)) return null;
  const nodes = new Map<string, Node>();
  const graphs: Graph[] = [];
  const open = (spec: JsonObject, path: Path, parent: Graph | null, owner: string, port: string): Graph => {
    const members = isObject(spec["nodes"]) ? spec["nodes"] : NONE;
    const params = spec["inputs"];
    const graph: Graph = {
      path, parent, owner, port,
      inputs: parent && Array.isArray(params) ? params.filter((n): n is string => typeof n === "string") : [],
      outputs: Object.entries(isObject(spec["outputs"]) ? spec["outputs"] : NONE)
        .filter((row): row is [string, string] => typeof row[1] === "string"),
      ids: Object.keys(members).filter((id) => isObject(members[id]) && !nodes.has(id)),
    };
    graphs.push(graph);
    for (const id of graph.ids) {
      const member = members[id] as JsonObject;
      const inputs = isObject(member["inputs"]) ? member["inputs"] : NONE;
      const bodies: Record<string, Graph> = {};
      const place = [...path, "nodes", id];
      const type = typeof member["type"] === "string" ? member["type"] : "";
      nodes.set(id, { id, type, data: member, path: place, graph, inputs, bodies });
      for (const [port, value] of Object.entries(inputs)) {
        const body = bodyOf(value);
        if (body) bodies[port] = open(body, [...place, "inputs", port, "graph"], graph, id, port);
      }
    }
    return graph;
  };
  const root = open(data, path, null, "", "");
  const named: Record<string, string> = {};
  for (const [key, value] of Object.entries(objectAt(data, ["inputs"]))) {
    if (typeof value === "string") named[key] = value;
  }
  return { name, path, data, root, graphs, nodes, layout: objectAt(data, ["layout"]), named };
}

/** The text of a link, "node.output" or the bare name of a body's input; null for other values. */
export function linkOf(value: Json | undefined): string | null {
  if (!isObject(value)) return null;
  const text = value["link"];
  return typeof text === "string" && Object.keys(value).length === 1 ? text : null;
}

/** The data of a body; null for other values. */
export function bodyOf(value: Json | undefined): JsonObject | null {
  if (!isObject(value)) return null;
  const body = value["graph"];
  return isObject(body) && Object.keys(value).length === 1 ? body : null;
}

/** A link by its two parts; `output` is empty for the input of a body. */
export function parts(link: string): { readonly node: string; readonly output: string } {
  const dot = link.indexOf(".");
  return dot < 0 ? { node: link, output: "" } : { node: link.slice(0, dot), output: link.slice(dot + 1) };
}

/** The links in the value of an input; `item` is the place in a list, -1 where the value is the link. */
export function linksOf(value: Json | undefined): { readonly link: string; readonly item: number }[] {
  const whole = linkOf(value);
  if (whole !== null) return [{ link: whole, item: -1 }];
  if (!Array.isArray(value)) return [];
  return value.flatMap((entry: Json, item) => {
    const link = linkOf(entry);
    return link === null ? [] : [{ link, item }];
  });
}

/** Whether an input's value is written out, not linked and no body. */
export function isLiteral(value: Json | undefined): boolean {
  return value !== undefined && linksOf(value).length === 0 && bodyOf(value) === null;
}

/** A literal without its wrapping. */
export function literal(value: Json | undefined): Json | undefined {
  return isObject(value) && Object.keys(value).length === 1 && "value" in value ? value["value"] : value;
}

/** A literal as it is written into a file: wrapped where it would read like a link or a body. */
export function written(value: Json): Json {
  if (Array.isArray(value)) {
    return value.map((item: Json) => (isObject(item) && special(item) ? { value: item } : item));
  }
  return isObject(value) && special(value) ? { value } : value;
}

function special(value: JsonObject): boolean {
  const keys = Object.keys(value);
  return keys.length === 1 && ["link", "graph", "value"].includes(keys[0] ?? "");
}

/** A graph and those around it, the innermost first. */
export function chain(graph: Graph): Graph[] {
  const found: Graph[] = [];
  for (let next: Graph | null = graph; next; next = next.parent) found.push(next);
  return found;
}

/** What a link means where it is written: a node, or the graph whose input it names. */
export function resolve(sheet: Sheet, link: string, scope: Graph): Node | Graph | null {
  const { node, output } = parts(link);
  const around = chain(scope);
  if (!output) return around.find((graph) => graph.inputs.includes(node)) ?? null;
  const found = sheet.nodes.get(node);
  return found && around.includes(found.graph) ? found : null;
}
