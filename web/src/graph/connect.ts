/** Connecting: what may be linked to what, why not, what could stand between, and what fits. */
import {
  chain, isLiteral, linkOf, linksOf, parts, put, resolve, sheet as sheetOf,
  type Document, type Graph, type Node, type Sheet,
} from "@/graph/document";
import { freeId, fresh, linked, withBodyOutput, withInput, withLayout, withNode, type Point } from "@/graph/edit";
import type { NodeType, Port, TypeRef } from "@/graph/nodetype";
import {
  ancestors, bound, portOf, portsOf, typeAt, typing, type Types, type Typing,
} from "@/graph/typing";
import { apply, article, coreOf, fits, isList, isVariable, PLAIN, same } from "@/graph/wire";

/** Where a wire may end: an input of a node, or what a body gives (`body` is the input that holds it). */
export interface Target {
  readonly node: string;
  readonly input: string;
  readonly body?: string;
}

/** Where a wire begins: an output of a node, or an input of a body, written as a link; `home` is where it stands. */
export interface Source {
  readonly link: string;
  readonly home: Graph;
}

export interface Fit {
  readonly ok: boolean;
  /** Why not, and what to do. */
  readonly reason: string;
  /** Whether the link becomes one more item of a list. */
  readonly append: boolean;
  /** The node type that makes one type of the other; empty where there is none. */
  readonly converter: string;
}

const FINE: Fit = { ok: true, reason: "", append: false, converter: "" };
const no = (reason: string, converter = ""): Fit => ({ ok: false, reason, append: false, converter });

/** One sheet with its types, which all questions here are asked about. */
export interface Scene {
  readonly document: Document;
  readonly sheet: Sheet;
  readonly typing: Typing;
}

export function scene(document: Document, name: string, types: Types): Scene {
  const sheet = sheetOf(document, name) ?? sheetOf(document);
  if (!sheet) throw new Error("a document is a sheet");
  return { document, sheet, typing: typing(document, sheet.name, types) };
}

/** The graph in which a link to this target is written. */
export function scopeOf(sheet: Sheet, target: Target): Graph | null {
  const node = sheet.nodes.get(target.node);
  if (!node) return null;
  return target.body === undefined ? node.graph : (node.bodies[target.body] ?? null);
}

/** The type that is wanted at a target, with type variables as the rest of the node settles them. */
export function wanted(scene: Scene, target: Target): TypeRef {
  const node = scene.sheet.nodes.get(target.node);
  const name = target.body ?? target.input;
  const port = node && portOf(scene.typing.kinds.get(node.type), name);
  if (!port) return "any";
  const variables = bound(scene.sheet, scene.typing, node, name);
  return isVariable(port.type) || isList(port.type) ? apply(port.type, variables) : port.type;
}

/** Whether a wire may run from a source to a target. */
export function fit(scene: Scene, source: Source, target: Target): Fit {
  const { sheet, typing } = scene;
  const node = sheet.nodes.get(target.node);
  const scope = scopeOf(sheet, target);
  if (!node || !scope) return no("there is no such input");
  const name = target.body === undefined ? `${node.id}.${target.input}` : `what the body of ${node.id} gives`;
  const kind = typing.kinds.get(node.type);
  if (!kind) return no(`the type of ${node.id}, ${node.type}, is not installed`);
  const port = portOf(kind, target.body ?? target.input);
  if (!port) return no(`${node.id} has no input ${target.input}`);
  if (port.kind === "body" && target.body === undefined) return no(`${name} is a body; draw nodes into its frame`);
  if (resolve(sheet, source.link, scope) === null) {
    return no(`${source.link} is inside another body; give it out of that body`);
  }
  const from = sheet.nodes.get(parts(source.link).node);
  if (source.link.includes(".") && from) {
    const last = target.body === undefined ? node : null;
    const before = ancestors(sheet, from);
    if (last ? before.has(last.id) : from.id === node.id || (before.has(node.id) && !inside(from, node))) {
      return no(from === last ? "a node cannot use what it gives itself" : `that would be a cycle: ${from.id} needs ${node.id}`);
    }
  } else if (!source.link.includes(".") && target.body === undefined && holds(sheet, node, source)) {
    return no(`${source.link} is inside the body of ${node.id}`);
  }
  const given = typeAt(sheet, typing, source.link, scope);
  const want = wanted(scene, target);
  if (fits(given, want, new Map())) return FINE;
  if (isList(want) && target.body === undefined && fits(given, want[1], new Map())) return { ...FINE, append: true };
  const converter = between(typing.kinds, given, want, scene, scope);
  const advice = converter ? `put ${typing.kinds.get(converter)?.title ?? converter} between` : "link another output";
  return no(`${name} wants ${article(want)}, but ${source.link} is ${article(given)}; ${advice}`, converter);
}

function inside(node: Node, owner: Node): boolean {
  return chain(node.graph).some((graph) => graph.owner === owner.id);
}

function holds(sheet: Sheet, node: Node, source: Source): boolean {
  const home = resolve(sheet, source.link, source.home);
  return home !== null && "ids" in home && chain(home).some((graph) => graph.owner === node.id);
}

/**
 * The simplest node that makes one type of another; empty if there is none. Where a graph is given, one whose other
 * inputs can be linked there is simpler than one whose inputs cannot.
 */
export function between(types: Types, given: TypeRef, want: TypeRef, scene?: Scene, scope?: Graph): string {
  const around = scene && scope ? visible(scene, scope).map(({ type }) => type) : [];
  let best: { readonly cost: number; readonly id: string } | null = null;
  for (const kind of types.values()) {
    if (kind.deprecated) continue;
    const [first] = Object.values(kind.outputs);
    if (first === undefined || !same(first, want)) continue;
    const ports = portsOf(kind).filter((port) => port.default === undefined);
    const required = ports.map((port) => port.type);
    const takes = ports.some((port) => same(port.type, given) && port.ui?.widget !== "seed");
    if (!takes || required.some((type) => same(type, want))) continue;
    const missing = required.filter((type) => !same(type, given) && !around.some((other) => same(other, type)));
    const written = required.filter((type) => PLAIN.has(type)); // that must be thought of before it can run
    const cost = required.length + written.length + 10 * missing.length;
    if (!best || cost < best.cost || (cost === best.cost && kind.id < best.id)) best = { cost, id: kind.id };
  }
  return best?.id ?? "";
}

/** Link a source to a target. */
export function connected(scene: Scene, source: Source, target: Target): Document {
  const { document, sheet, typing } = scene;
  const node = sheet.nodes.get(target.node);
  if (!node) return document;
  if (target.body !== undefined) {
    const body = node.bodies[target.body];
    if (!body) return document;
    return withBodyOutput(document, body, target.input || outputName(scene, body, source), source.link);
  }
  const given = typeAt(sheet, typing, source.link, node.graph);
  const want = wanted(scene, target);
  const item = isList(want) && !fits(given, want, new Map());
  const old = linkOf(node.inputs[target.input]);
  const whole = old !== null && isList(typeAt(sheet, typing, old, node.graph));
  const cleared = item && whole ? withInput(document, node, target.input, []) : document;
  return linked(cleared, node, target.input, source.link, item);
}

/** What the only output of a body is called: after what is carried, else after what is linked to it. */
export function outputName(scene: Scene, body: Graph, source: Source): string {
  const [taken] = body.outputs;
  if (taken) return taken[0];
  const owner = scene.sheet.nodes.get(body.owner);
  const port = owner && portOf(scene.typing.kinds.get(owner.type), body.port);
  const carried = port?.params?.findIndex((param) => same(param, port.type)) ?? -1;
  return body.inputs[carried] ?? (parts(source.link).output || parts(source.link).node);
}

/** Put a node between a source and a target; gives the new document and the node's id. */
export function withBetween(
  scene: Scene, type: string, source: Source, target: Target, place: Point,
): { readonly document: Document; readonly id: string } | null {
  const kind = scene.typing.kinds.get(type);
  const graph = scopeOf(scene.sheet, target);
  if (!kind || !graph) return null;
  const given = typeAt(scene.sheet, scene.typing, source.link, graph);
  const ports = portsOf(kind).filter((port) => port.kind !== "body");
  const entry =
    ports.find((port) => same(port.type, given)) ?? ports.find((port) => !PLAIN.has(port.type) && accepts(port, given)) ??
    ports.find((port) => accepts(port, given));
  const [exit] = Object.keys(kind.outputs);
  if (!entry || exit === undefined) return null;
  const id = freeId(scene.sheet.nodes, type);
  let document = withNode(scene.document, graph, id, fresh(kind));
  document = withLayout(document, scene.sheet, { [id]: { at: [Math.round(place[0]), Math.round(place[1])] } });
  const now = () => sceneOf(document, scene);
  document = connected(now(), source, { node: id, input: entry.name });
  document = connected(now(), { link: `${id}.${exit}`, home: graph }, target);
  return { document: filled(now(), id), id };
}

function accepts(port: Port, given: TypeRef): boolean {
  return fits(given, port.type, new Map()) || (isList(port.type) && fits(given, port.type[1], new Map()));
}

/** The same sheet of another document. */
export function sceneOf(document: Document, like: Scene): Scene {
  return scene(document, like.sheet.name, like.typing.kinds);
}

/** Link the inputs of a node that must be given where there is just one thing that fits. */
export function filled(given: Scene, id: string): Document {
  let now = given;
  const kind = now.typing.kinds.get(now.sheet.nodes.get(id)?.type ?? "");
  for (const port of kind ? portsOf(kind) : []) {
    const node = now.sheet.nodes.get(id);
    if (!node || node.inputs[port.name] !== undefined || port.default !== undefined) continue;
    if (typeof port.type !== "string" || PLAIN.has(port.type) || isVariable(port.type)) continue;
    const target = { node: id, input: port.name };
    const found = sourcesFor(now, target).filter((source) => same(source.type, port.type));
    const [only] = found;
    if (only && found.length === 1) now = sceneOf(connected(now, only.source, target), now);
  }
  return now.document;
}

export interface Offer {
  readonly source: Source;
  readonly target: Target;
  readonly type: TypeRef;
}

/** Everything that is visible in a graph: outputs of nodes, and inputs of the bodies around. */
export function visible(scene: Scene, scope: Graph): { readonly source: Source; readonly type: TypeRef }[] {
  const found: { source: Source; type: TypeRef }[] = [];
  const names = new Set<string>();
  for (const graph of chain(scope)) {
    graph.inputs.forEach((name, i) => {
      if (names.has(name)) return;
      names.add(name);
      found.push({ source: { link: name, home: graph }, type: scene.typing.params.get(graph)?.[i] ?? "any" });
    });
    for (const id of graph.ids) {
      for (const [output, type] of Object.entries(scene.typing.outputs.get(id) ?? {})) {
        found.push({ source: { link: `${id}.${output}`, home: graph }, type });
      }
    }
  }
  return found;
}

/** What may be linked to a target. */
export function sourcesFor(scene: Scene, target: Target): Offer[] {
  const scope = scopeOf(scene.sheet, target);
  if (!scope) return [];
  const want = wanted(scene, target);
  return visible(scene, scope)
    .filter(({ type }) => fits(type, want, new Map()) || (isList(want) && fits(type, want[1], new Map())))
    .filter(({ source }) => fit(scene, source, target).ok)
    .map(({ source, type }) => ({ source, target, type }));
}

/** Every place where a wire may end. */
export function targets(scene: Scene): Target[] {
  const found: Target[] = [];
  for (const node of scene.sheet.nodes.values()) {
    const kind = scene.typing.kinds.get(node.type);
    for (const port of kind ? portsOf(kind) : []) {
      if (port.kind !== "body") found.push({ node: node.id, input: port.name });
      else if (node.bodies[port.name]) {
        found.push({ node: node.id, input: node.bodies[port.name]?.outputs[0]?.[0] ?? "", body: port.name });
      }
    }
  }
  return found;
}

/** What a source may be linked to; inputs of plain types that hold a literal come last. */
export function targetsFor(scene: Scene, source: Source): Offer[] {
  const found = targets(scene).filter((target) => fit(scene, source, target).ok);
  const type = typeAt(scene.sheet, scene.typing, source.link, source.home);
  const free = (target: Target) => {
    if (isList(wanted(scene, target)) && !isList(type)) return 3;
    const value = scene.sheet.nodes.get(target.node)?.inputs[target.input];
    return value === undefined ? 0 : isLiteral(value) ? 1 : 2;
  };
  return found.sort((a, b) => free(a) - free(b)).map((target) => ({ source, target, type }));
}

/** Node types with an input that a type fits: those that want just it come first. */
export function typesTaking(types: Types, given: TypeRef): NodeType[] {
  const rank = (kind: NodeType) => {
    const ports = portsOf(kind).filter((port) => port.kind !== "body");
    if (ports.some((port) => same(port.type, given))) return 0;
    if (ports.some((port) => isList(port.type) && same(port.type[1], given))) return 1;
    return ports.some((port) => accepts(port, given)) ? 2 : 3;
  };
  return ranked(types, given, rank);
}

/** Node types with an output that fits what is wanted. */
export function typesGiving(types: Types, want: TypeRef): NodeType[] {
  const rank = (kind: NodeType) => {
    const outputs = Object.values(kind.outputs);
    if (outputs.some((type) => same(type, want))) return 0;
    if (outputs.some((type) => fits(type, want, new Map()))) return 2;
    return isList(want) && outputs.some((type) => fits(type, want[1], new Map())) ? 1 : 3;
  };
  return ranked(types, want, rank);
}

function ranked(types: Types, ref: TypeRef, rank: (kind: NodeType) => number): NodeType[] {
  const home = coreOf(ref).toLowerCase(); // nodes of `image` first where an Image is at hand
  const away = (kind: NodeType) => (kind.category === home ? 0 : 1);
  return [...types.values()]
    .map((kind) => ({ kind, rank: rank(kind) }))
    .filter(({ rank }) => rank < 3)
    .sort((a, b) => a.rank - b.rank || away(a.kind) - away(b.kind))
    .map(({ kind }) => kind);
}

/** The input of a new node that a wire of a type should go to. */
export function entryFor(scene: Scene, id: string, source: Source): Target | null {
  const kind = scene.typing.kinds.get(scene.sheet.nodes.get(id)?.type ?? "");
  const node = scene.sheet.nodes.get(id);
  if (!kind || !node) return null;
  const given = typeAt(scene.sheet, scene.typing, source.link, node.graph);
  const ports = portsOf(kind).filter((port) => port.kind !== "body" && fit(scene, source, { node: id, input: port.name }).ok);
  const port = ports.find((port) => same(port.type, given)) ?? ports.find((port) => isLinkOnly(port)) ?? ports[0];
  return port ? { node: id, input: port.name } : null;
}

/** The output of a new node that should go to a target. */
export function exitFor(scene: Scene, id: string, target: Target): Source | null {
  const node = scene.sheet.nodes.get(id);
  if (!node) return null;
  for (const output of Object.keys(scene.typing.outputs.get(id) ?? {})) {
    const source = { link: `${id}.${output}`, home: node.graph };
    if (fit(scene, source, target).ok) return source;
  }
  return null;
}

/** Whether an input can only be linked, not written. */
export function isLinkOnly(port: Port): boolean {
  const core = isList(port.type) ? port.type[1] : port.type;
  return port.kind !== "body" && !isList(core) && !PLAIN.has(core) && core !== "any";
}

/** Whether a node could be put on a wire, between what it links. */
export function fitsBetween(scene: Scene, node: Node, source: Source, target: Target): boolean {
  const entry = entryFor(scene, node.id, source);
  return entry !== null && exitFor(scene, node.id, target) !== null && linksOf(node.inputs[entry.input]).length === 0;
}

/** Put a node that is there already onto a wire. */
export function insertedOn(scene: Scene, id: string, source: Source, target: Target, item = -1): Document {
  const entry = entryFor(scene, id, source);
  const exit = exitFor(scene, id, target);
  if (!entry || !exit) return scene.document;
  const now = sceneOf(connected(scene, source, entry), scene);
  if (item < 0) return connected(now, exit, target);
  const node = now.sheet.nodes.get(target.node);
  const value = node?.inputs[target.input];
  if (!node || !Array.isArray(value)) return connected(now, exit, target);
  const items = value.map((old: unknown, i) => (i === item ? { link: exit.link } : old)) as readonly { link: string }[];
  return put(now.document, [...node.path, "inputs", target.input], items);
}
