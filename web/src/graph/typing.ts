/** The types on one sheet: what each output gives, what each body is called with, what type variables stand for. */
import {
  bodyOf, graphNames, linkOf, linksOf, literal, parts, resolve, sheet as sheetOf,
  type Document, type Graph, type Node, type Sheet,
} from "@/graph/document";
import type { Json } from "@/graph/json";
import type { NodeType, Port, TypeRef } from "@/graph/nodetype";
import { apply, fits, listOf, literalType, type Variables } from "@/graph/wire";

export type Types = ReadonlyMap<string, NodeType>;

export interface Typing {
  /** The node types, with the sub-workflows of the file among them. */
  readonly kinds: Types;
  /** By node id; null where the node type is not known. */
  readonly outputs: ReadonlyMap<string, Readonly<Record<string, TypeRef>> | null>;
  readonly params: ReadonlyMap<Graph, readonly TypeRef[]>;
  readonly variables: ReadonlyMap<string, Variables>;
}

const GRAPH = "graph:";
const byDocument = new WeakMap<Document, WeakMap<Types, Map<string, Typing>>>();

/** The types on a sheet. */
export function typing(document: Document, name: string, types: Types): Typing {
  let byTypes = byDocument.get(document);
  if (!byTypes) byDocument.set(document, (byTypes = new WeakMap<Types, Map<string, Typing>>()));
  let byName = byTypes.get(types);
  if (!byName) byTypes.set(types, (byName = new Map<string, Typing>()));
  let found = byName.get(name);
  if (!found) {
    const sheet = sheetOf(document, name);
    found = settle(sheet, kindsOf(document, types, name));
    byName.set(name, found);
  }
  return found;
}

const NO_SHEETS: ReadonlySet<string> = new Set();

/** The node types, and each sub-workflow as if it were one; those that run `open` ones are left out. */
function kindsOf(document: Document, types: Types, name: string, open = NO_SHEETS): Types {
  const names = graphNames(document).filter((other) => other !== name && !open.has(other));
  if (!names.length) return types;
  const found = new Map(types);
  const within = new Set([...open, name]);
  const used = usedBy(document, name);
  for (const other of names) {
    const sheet = sheetOf(document, other);
    if (!sheet || !used.has(other)) continue;
    found.set(GRAPH + other, kindOfSheet(sheet, kindsOf(document, types, other, within)));
  }
  return found;
}

function usedBy(document: Document, name: string): Set<string> {
  const found = new Set<string>();
  for (const node of sheetOf(document, name)?.nodes.values() ?? []) {
    if (node.type.startsWith(GRAPH)) found.add(node.type.slice(GRAPH.length));
  }
  return found;
}

/** A sub-workflow as a node type: its named inputs and outputs are the ports. */
export function kindOfSheet(sheet: Sheet, types: Types): NodeType {
  const inner = settle(sheet, types);
  const inputs = Object.entries(sheet.named).map(([name, target]): Port => {
    const { node, output: input } = parts(target);
    const home = sheet.nodes.get(node);
    const port = portOf(inner.kinds.get(home?.type ?? ""), input);
    const set = home ? home.inputs[input] : undefined;
    const given = set !== undefined && linksOf(set).length === 0 ? literal(set) : undefined;
    const variables = inner.variables.get(node);
    const type = port ? (variables ? apply(port.type, variables) : port.type) : "any";
    const base: Port = port ? { ...port, name, type } : { name, type, kind: "value" };
    return given === undefined ? base : { ...base, default: given };
  });
  const outputs: Record<string, TypeRef> = {};
  for (const [name, link] of sheet.root.outputs) outputs[name] = typeAt(sheet, inner, link, sheet.root);
  const text = (field: string) => (typeof sheet.data[field] === "string" ? sheet.data[field] : "");
  return {
    id: GRAPH + sheet.name, title: text("name") || sheet.name, category: "sub-workflows", doc: text("description"),
    inputs, outputs, version: 1, aliases: [], deprecated: "", experimental: false,
  };
}

/** One input of a node type. */
export function portOf(kind: NodeType | undefined, name: string): Port | undefined {
  return kind?.inputs.find((port) => port.name === name && port.kind !== "context");
}

/** The inputs that a user sees. */
export function portsOf(kind: NodeType): readonly Port[] {
  return kind.inputs.filter((port) => port.kind !== "context");
}

/** The type that a link gives where it is written. */
export function typeAt(sheet: Sheet, typing: Typing, link: string, scope: Graph): TypeRef {
  const source = resolve(sheet, link, scope);
  if (!source) return "any";
  const { node, output } = parts(link);
  if ("ids" in source) return typing.params.get(source)?.[source.inputs.indexOf(node)] ?? "any";
  return typing.outputs.get(source.id)?.[output] ?? "any";
}

/** The type of the value at an input: of a link, of a list with links in it, of a literal. */
export function typeOfValue(sheet: Sheet, typing: Typing, value: Json | undefined, scope: Graph): TypeRef {
  const link = linkOf(value);
  if (link !== null) return typeAt(sheet, typing, link, scope);
  if (Array.isArray(value)) return listOf(value.map((item: Json) => typeOfValue(sheet, typing, item, scope)));
  return literalType(literal(value));
}

/** What the type variables of a node stand for, without what stands at one input of it. */
export function bound(sheet: Sheet, typing: Typing, node: Node, without = ""): Variables {
  const variables: Variables = new Map();
  const kind = typing.kinds.get(node.type);
  if (!kind) return variables;
  const ports = portsOf(kind).filter((port) => port.name !== without && port.kind !== "body");
  const linked = (port: Port) => linksOf(node.inputs[port.name]).length > 0;
  for (const port of [...ports.filter(linked), ...ports.filter((port) => !linked(port))]) {
    const value = node.inputs[port.name];
    if (value === undefined || value === null) continue;
    if (linked(port) || literalBinds(value)) {
      fits(typeOfValue(sheet, typing, value, node.graph), port.type, variables);
    }
  }
  for (const port of portsOf(kind)) {
    const body = node.bodies[port.name];
    const [out] = body?.outputs ?? [];
    if (body && out && port.name !== without) fits(typeAt(sheet, typing, out[1], body), port.type, variables);
  }
  return variables;
}

function literalBinds(value: Json): boolean {
  return bodyOf(value) === null;
}

function settle(sheet: Sheet | null, kinds: Types): Typing {
  const outputs = new Map<string, Readonly<Record<string, TypeRef>> | null>();
  const params = new Map<Graph, readonly TypeRef[]>();
  const variables = new Map<string, Variables>();
  const typing: Typing = { kinds, outputs, params, variables };
  if (!sheet) return typing;
  for (const item of order(sheet)) {
    if ("ids" in item) {
      const owner = sheet.nodes.get(item.owner);
      const port = portOf(kinds.get(owner?.type ?? ""), item.port);
      if (!owner || !port?.params) continue;
      const mine = bound(sheet, typing, owner, item.port);
      params.set(item, port.params.map((param) => apply(param, mine)));
      continue;
    }
    const kind = kinds.get(item.type);
    if (!kind) {
      outputs.set(item.id, null);
      continue;
    }
    if (!generic(kind)) {
      outputs.set(item.id, kind.outputs);
      continue;
    }
    const mine = bound(sheet, typing, item);
    variables.set(item.id, mine);
    outputs.set(
      item.id,
      Object.fromEntries(Object.entries(kind.outputs).map(([name, type]) => [name, apply(type, mine)])),
    );
  }
  return typing;
}

const generics = new WeakMap<NodeType, boolean>();

/** Whether a node type has type variables. */
export function generic(kind: NodeType): boolean {
  let found = generics.get(kind);
  if (found === undefined) {
    const types = [...Object.values(kind.outputs), ...kind.inputs.map((port) => port.type)];
    generics.set(kind, (found = JSON.stringify(types).includes("~")));
  }
  return found;
}

/** Sources first. A body stands before its nodes, they before their owner; cycles are left open. */
export function order(sheet: Sheet): (Node | Graph)[] {
  const done = new Set<Node | Graph>();
  const open = new Set<Node | Graph>();
  const found: (Node | Graph)[] = [];
  for (const first of sheet.nodes.values()) {
    const stack: (Node | Graph)[] = [first];
    for (let item = stack.at(-1); item; item = stack.at(-1)) {
      if (done.has(item) || open.has(item)) {
        stack.pop();
        if (!done.has(item)) {
          done.add(item);
          found.push(item);
        }
        continue;
      }
      open.add(item);
      for (const need of needs(sheet, item).reverse()) {
        if (!done.has(need) && !open.has(need)) stack.push(need);
      }
    }
  }
  return found;
}

/** What must be known before a node or a body is. */
export function needs(sheet: Sheet, item: Node | Graph): (Node | Graph)[] {
  if ("ids" in item) {
    const owner = sheet.nodes.get(item.owner);
    return owner ? sources(sheet, owner) : [];
  }
  const found: (Node | Graph)[] = item.graph.parent ? [item.graph] : [];
  found.push(...sources(sheet, item));
  for (const body of Object.values(item.bodies)) {
    found.push(body);
    for (const id of body.ids) found.push(sheet.nodes.get(id) as Node);
    for (const [, link] of body.outputs) {
      const source = sheet.nodes.get(parts(link).node);
      if (source && link.includes(".")) found.push(source);
    }
  }
  return found;
}

function sources(sheet: Sheet, node: Node): Node[] {
  const found: Node[] = [];
  for (const value of Object.values(node.inputs)) {
    for (const { link } of linksOf(value)) {
      const source = link.includes(".") ? sheet.nodes.get(parts(link).node) : undefined;
      if (source) found.push(source);
    }
  }
  return found;
}

/** Every node that must have run before one has, itself included. */
export function ancestors(sheet: Sheet, node: Node): Set<string> {
  const found = new Set<string>();
  const seen = new Set<Node | Graph>();
  const stack: (Node | Graph)[] = [node];
  for (let item = stack.pop(); item; item = stack.pop()) {
    if (seen.has(item)) continue;
    seen.add(item);
    if (!("ids" in item)) found.add(item.id);
    stack.push(...needs(sheet, item));
  }
  return found;
}
