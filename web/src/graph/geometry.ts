/**
 * Where everything on a sheet is: sizes, rows and sockets, known from the schema alone. Nothing is measured in the
 * page, so nodes off the screen need not be drawn to be known.
 */
import {
  isLiteral, linksOf, objectAt, type Graph, type Node, type Sheet,
} from "@/graph/document";
import type { Scene } from "@/graph/connect";
import type { Point } from "@/graph/edit";
import type { Json, JsonObject } from "@/graph/json";
import { numeric } from "@/graph/number";
import type { NodeType, Port, TypeRef } from "@/graph/nodetype";
import { portsOf } from "@/graph/typing";
import { rowsOf, widgetOf, type WidgetKind } from "@/graph/widget";
import { isList, isVariable, same, type Variables } from "@/graph/wire";

export const HEAD = 30;
export const ROW = 24;
export const FOOT = 6;
export const WIDTH = 216;
export const PICTURE = 176;
const LETTER = 6.3;
const SLACK = 52;
/** Inside a frame: room at the left and right for its own sockets, above and below for air and the line back. */
export const RAIL = 148;
const AIR = 26;
const BACK = 30;
/** From one socket at the edge of a frame to the next. */
const STEP = 36;

/** One line of a node: an input at the left, an output at the right, or the input's widget between. */
export interface Row {
  readonly input: Port | null;
  readonly output: readonly [string, TypeRef] | null;
  readonly widget: WidgetKind;
  readonly top: number;
  readonly height: number;
}

export interface Socket {
  readonly name: string;
  readonly type: TypeRef;
  readonly x: number;
  readonly y: number;
}

/** A body: a frame in its node, with sockets at its inner edges. */
export interface Frame {
  readonly port: Port;
  readonly graph: Graph;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Where the places of the nodes in it are counted from. */
  readonly origin: Point;
  readonly params: readonly Socket[];
  readonly outputs: readonly Socket[];
  /** What is carried to the next round: the output, and the input that it becomes. */
  readonly carried: readonly { readonly output: string; readonly input: string }[];
  /** What fills an input first: `start`, or `each of over`. */
  readonly first: Readonly<Record<string, string>>;
}

/** A node without its place. */
export interface Shape {
  readonly id: string;
  readonly width: number;
  readonly height: number;
  readonly rows: readonly Row[];
  readonly hidden: number;
  readonly inputs: readonly Socket[];
  readonly outputs: readonly Socket[];
  readonly frames: readonly Frame[];
  readonly picture: number | null;
  readonly collapsed: boolean;
}

export interface Box {
  readonly shape: Shape;
  /** Relative to the inside of the frame that it stands in. */
  readonly at: Point;
  /** On the canvas. */
  readonly absolute: Point;
}

export interface Options {
  /** Nodes with pictures. */
  readonly pictured: ReadonlySet<string>;
  /** Where a node stands while it is dragged, or where nothing is written in the file. */
  readonly place: (id: string) => Point | undefined;
  /** The same without what is dragged: frames stay as they are meanwhile, so that a node can leave one. */
  readonly rest?: (id: string) => Point | undefined;
}

/** The place that the layout of a file gives; undefined where it gives none. */
export function placeIn(sheet: Sheet, key: string): Point | undefined {
  const value = objectAt(sheet.layout, [key])["at"];
  return pointOf(value);
}

/** Two numbers as a point. */
export function pointOf(value: Json | undefined): Point | undefined {
  if (!Array.isArray(value)) return undefined;
  const [x, y] = (value as readonly Json[]).map(numeric);
  return x === null || y === null || x === undefined || y === undefined ? undefined : [x, y];
}

/** The boxes of all nodes of a sheet, those that hold others before these. */
export function boxes(scene: Scene, options: Options): Map<string, Box> {
  const { sheet } = scene;
  const shapes = new Map<string, Shape>();
  const place = (id: string): Point => options.place(id) ?? placeIn(sheet, id) ?? [0, 0];
  const rest = (id: string): Point => (options.rest ?? options.place)(id) ?? placeIn(sheet, id) ?? [0, 0];
  for (const graph of [...sheet.graphs].reverse()) {
    for (const id of graph.ids) {
      const node = sheet.nodes.get(id);
      if (node) shapes.set(id, shapeOf(scene, node, options.pictured.has(id), (id) => framed(shapes, id, rest)));
    }
  }
  const found = new Map<string, Box>();
  const stand = (graph: Graph, origin: Point) => {
    for (const id of graph.ids) {
      const shape = shapes.get(id);
      if (!shape) continue;
      const at = place(id);
      const absolute: Point = [origin[0] + at[0], origin[1] + at[1]];
      found.set(id, { shape, at, absolute });
      for (const frame of shape.frames) {
        stand(frame.graph, [absolute[0] + frame.origin[0], absolute[1] + frame.origin[1]]);
      }
    }
  };
  stand(sheet.root, [0, 0]);
  return found;
}

/** Where the places in a graph are counted from, on the canvas. */
export function originOf(graph: Graph, boxes: ReadonlyMap<string, Box>): Point {
  const owner = boxes.get(graph.owner);
  const frame = owner?.shape.frames.find((frame) => frame.graph === graph);
  return owner && frame ? [owner.absolute[0] + frame.origin[0], owner.absolute[1] + frame.origin[1]] : [0, 0];
}

type Rectangle = readonly [left: number, top: number, right: number, bottom: number];

function framed(shapes: ReadonlyMap<string, Shape>, id: string, place: (id: string) => Point): Rectangle | null {
  const shape = shapes.get(id);
  const [x, y] = place(id);
  return shape ? [x, y, x + shape.width, y + shape.height] : null;
}

interface Made {
  readonly layout: Json | undefined;
  readonly kind: NodeType;
  readonly outputs: string;
  readonly pictured: boolean;
  readonly shape: Shape;
}

/** Shapes by the data of their nodes: what an edit did not touch keeps its shape, and is not drawn again. */
const made = new WeakMap<JsonObject, Made>();

function shapeOf(scene: Scene, node: Node, pictured: boolean, inner: (id: string) => Rectangle | null): Shape {
  const kind = kindOf(scene, node);
  if (Object.keys(node.bodies).length) return newShape(scene, node, kind, pictured, inner);
  const layout = scene.sheet.layout[node.id];
  const given = scene.typing.outputs.get(node.id);
  const variables = scene.typing.variables.get(node.id);
  const outputs = variables ? JSON.stringify([given, [...variables]]) : "";
  const old = made.get(node.data);
  if (old && old.layout === layout && old.kind === kind && old.outputs === outputs && old.pictured === pictured) {
    if (old.shape.id === node.id) return old.shape;
  }
  const shape = { ...likeShape(scene, node, kind, pictured, outputs, inner), id: node.id };
  made.set(node.data, { layout, kind, outputs, pictured, shape });
  return shape;
}

/** Shapes by type and by what a node has: in a large graph most nodes look like another one. */
const alike = new WeakMap<NodeType, Map<string, Shape>>();

function likeShape(
  scene: Scene, node: Node, kind: NodeType, pictured: boolean, outputs: string, inner: (id: string) => Rectangle | null,
): Shape {
  let known = alike.get(kind);
  if (!known) alike.set(kind, (known = new Map<string, Shape>()));
  const place = objectAt(scene.sheet.layout, [node.id]);
  let key = `${String(pictured)} ${node.id.length} ${outputs}`;
  for (const field of [place["collapsed"], place["open"], place["width"], node.data["title"]]) key += ` ${JSON.stringify(field)}`;
  for (const name in node.inputs) {
    const value = node.inputs[name];
    key += typeof value === "object" && value !== null && linksOf(value).length ? ` >${name}` : ` ${name}`;
  }
  let found = known.get(key);
  if (!found) {
    found = newShape(scene, node, kind, pictured, inner);
    if (scene.typing.kinds.has(node.type)) known.set(key, found); // a placeholder belongs to one node
  }
  return found;
}

function newShape(
  scene: Scene, node: Node, kind: NodeType, pictured: boolean, inner: (id: string) => Rectangle | null,
): Shape {
  const place = objectAt(scene.sheet.layout, [node.id]);
  const collapsed = place["collapsed"] === true && !Object.keys(node.bodies).length;
  const outputs = Object.entries(scene.typing.outputs.get(node.id) ?? kind.outputs);
  const variables = scene.typing.variables.get(node.id);
  const ports = portsOf(kind).filter((port) => port.kind !== "body");
  const typed = (port: Port) => (variables ? known(port.type, variables) : port.type);
  const all = place["open"] === true;
  const shown = ports.filter((port) => all || isShown(port, node));
  const wide = numeric(place["width"]);
  const title = typeof node.data["title"] === "string" ? node.data["title"] : kind.title;

  if (collapsed) {
    const middle = HEAD / 2;
    const width = wide ?? Math.max(140, (title.length + node.id.length) * LETTER + 48);
    return {
      id: node.id, width, height: HEAD, rows: [], hidden: 0, collapsed, picture: null, frames: [],
      inputs: ports.map((port) => ({ name: port.name, type: typed(port), x: 0, y: middle })),
      outputs: outputs.map(([name, type]) => ({ name, type, x: width, y: middle })),
    };
  }

  const bare = shown.filter((port) => widgetIn(port, node) === "none");
  const fields = shown.filter((port) => widgetIn(port, node) !== "none");
  const rows: Row[] = [];
  let top = HEAD + 4;
  for (let i = 0; i < Math.max(bare.length, outputs.length); i++) {
    rows.push({ input: bare[i] ?? null, output: outputs[i] ?? null, widget: "none", top, height: ROW });
    top += ROW;
  }
  for (const port of fields) {
    const widget = widgetIn(port, node);
    const height = ROW * rowsOf(widget);
    rows.push({ input: port, output: null, widget, top, height });
    top += height;
  }
  const hidden = ports.length - shown.length;
  if (hidden > 0 || all) top += 18;
  const frames: Frame[] = [];
  const lines = rows.map((row) => textOf(row));
  let width = Math.max(WIDTH, (title.length + node.id.length) * LETTER + 56, ...lines);
  if (wide !== null) width = Math.max(140, wide);
  for (const port of portsOf(kind)) {
    const graph = node.bodies[port.name];
    if (!graph) continue;
    const frame = frameOf(scene, node, kind, port, graph, top + 6, inner);
    width = Math.max(width, frame.width + 16);
    frames.push(frame);
    top = frame.y + frame.height + 4;
  }
  const stretched = frames.map((frame) => stretch(frame, width - 16));
  const picture = pictured ? top + 2 : null;
  const height = (picture === null ? top : top + PICTURE + 4) + FOOT;
  const middle = (row: Row) => row.top + ROW / 2;
  return {
    id: node.id, width, height, rows, hidden, collapsed, picture, frames: stretched,
    inputs: [
      ...rows.filter((row) => row.input).map((row) => {
        const port = row.input as Port;
        return { name: port.name, type: typed(port), x: 0, y: middle(row) };
      }),
    ],
    outputs: rows.filter((row) => row.output).map((row) => {
      const [name, type] = row.output as readonly [string, TypeRef];
      return { name, type, x: width, y: middle(row) };
    }),
  };
}

/** A type with those of its variables filled in that are known. */
function known(ref: TypeRef, variables: Variables): TypeRef {
  if (isList(ref)) return ["list", known(ref[1], variables)];
  return variables.get(ref) ?? ref;
}

/** Whether an input has a line of its own without being asked for: it is set, must be given, or has a telling default. */
function isShown(port: Port, node: Node): boolean {
  if (node.inputs[port.name] !== undefined) return true;
  return port.default === undefined ? !port.optional : port.default !== null;
}

/** The widget at an input now: none where a wire leads to it. */
export function widgetIn(port: Port, node: Node): WidgetKind {
  const value = node.inputs[port.name];
  if (linksOf(value).length) return "none";
  const widget = widgetOf(port);
  if (widget === "list" && isVariable(typeof port.type === "string" ? port.type : port.type[1]) && value === undefined) return "none";
  return widget !== "none" || value === undefined || !isLiteral(value) ? widget : "text";
}

function textOf(row: Row): number {
  const left = row.input ? label(row.input).length : 0;
  const right = row.output ? row.output[0].length : 0;
  const field = row.widget === "none" ? 0 : 92;
  return (left + right) * LETTER + field + SLACK;
}

/** What an input is called on the screen. */
export function label(port: Port): string {
  return port.ui?.label ?? port.name.replace(/_/g, " ");
}

function frameOf(
  scene: Scene, node: Node, kind: NodeType, port: Port, graph: Graph, y: number,
  inner: (id: string) => Rectangle | null,
): Frame {
  let [right, bottom, left, top] = [190, 90, 0, 0];
  for (const id of graph.ids) {
    const box = inner(id);
    if (!box) continue;
    left = Math.min(left, box[0]);
    top = Math.min(top, box[1]);
    right = Math.max(right, box[2]);
    bottom = Math.max(bottom, box[3]);
  }
  const { first, carried } = rounds(kind, port, graph);
  const types = scene.typing.params.get(graph) ?? [];
  const outputs = graph.outputs.map(([name]) => name);
  const middle = Math.max(bottom - top, Math.max(graph.inputs.length, outputs.length) * STEP + 20);
  const width = RAIL * 2 + (right - left);
  const height = AIR + middle + (carried.length ? BACK + 8 * (carried.length - 1) : 14);
  const at = (i: number) => y + AIR + 16 + i * STEP;
  const result = scene.typing.variables.get(node.id)?.get(typeof port.type === "string" ? port.type : "") ?? port.type;
  return {
    port, graph, x: 8, y, width, height, first, carried,
    origin: [8 + RAIL - left, y + AIR - top],
    params: graph.inputs.map((name, i) => ({ name, type: types[i] ?? "any", x: 8 + RAIL - 18, y: at(i) })),
    outputs: (outputs.length ? outputs : [""]).map((name, i) => ({ name, type: result, x: 8 + width - RAIL + 18, y: at(i) })),
  };
}

function stretch(frame: Frame, width: number): Frame {
  if (frame.width >= width) return frame;
  return { ...frame, width, outputs: frame.outputs.map((socket) => ({ ...socket, x: 8 + width - RAIL + 18 })) };
}

/**
 * What a body is called with, read off the types of its node. In `fold(start: T, over: list[S], body: Body[[T, S], T])`
 * the first input is `start` and later what the body gave, the second each of `over`.
 */
export function rounds(kind: NodeType, port: Port, graph: Graph): Pick<Frame, "first" | "carried"> {
  const first: Record<string, string> = {};
  const carried: { output: string; input: string }[] = [];
  const output = graph.outputs[0]?.[0] ?? "";
  graph.inputs.forEach((name, i) => {
    const param = port.params?.[i];
    if (param === undefined || !isVariable(param)) return;
    for (const other of portsOf(kind)) {
      if (other.kind === "body") continue;
      if (same(other.type, param)) first[name] ??= other.name;
      else if (same(other.type, ["list", param])) first[name] ??= `each of ${other.name}`;
    }
    if (same(param, port.type)) carried.push({ output, input: name });
  });
  return { first, carried };
}

const placeholders = new WeakMap<Node, NodeType>();

/** What stands for a node type that is not installed: the inputs and outputs that the file speaks of. */
export function placeholder(scene: Scene, node: Node): NodeType {
  let found = placeholders.get(node);
  if (!found) {
    const outputs: Record<string, TypeRef> = {};
    const note = (link: string) => {
      if (link.startsWith(`${node.id}.`)) outputs[link.slice(node.id.length + 1)] = "any";
    };
    for (const other of scene.sheet.nodes.values()) {
      for (const value of Object.values(other.inputs)) linksOf(value).forEach(({ link }) => note(link));
    }
    scene.sheet.graphs.forEach((graph) => graph.outputs.forEach(([, link]) => note(link)));
    found = {
      id: node.type, title: node.type, category: "", doc: "", version: 1, aliases: [], deprecated: "", experimental: false,
      inputs: Object.entries(node.inputs).map(([name]): Port =>
        node.bodies[name] ? { name, type: "any", kind: "body" } : { name, type: "any", kind: "value" }),
      outputs,
    };
    placeholders.set(node, found);
  }
  return found;
}

/** The type and ports of a node, also of one whose type is not installed. */
export function kindOf(scene: Scene, node: Node): NodeType {
  return scene.typing.kinds.get(node.type) ?? placeholder(scene, node);
}
