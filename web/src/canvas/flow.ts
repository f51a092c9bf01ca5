/** From a scene to what React Flow draws. What did not change keeps its object, so that it is not drawn again. */
import type { Edge, Node as FlowNodeOf, NodeHandle } from "@xyflow/react";
import { Position } from "@xyflow/react";
import type { Scene } from "@/graph/connect";
import { objectAt, type Node } from "@/graph/document";
import { pointOf, type Box, type Shape } from "@/graph/geometry";
import type { JsonObject } from "@/graph/json";
import { bodySocket, inSocket, outSocket, paramSocket, type Wire } from "@/graph/wires";

export interface StepData extends Record<string, unknown> {
  readonly shape: Shape;
  readonly node: Node;
  readonly place: JsonObject;
  readonly named: string;
}
export interface ExtraData extends Record<string, unknown> {
  readonly entry: JsonObject;
}
export type StepNode = FlowNodeOf<StepData, "step">;
export type ExtraNode = FlowNodeOf<ExtraData, "frame" | "note">;
export type FlowNode = StepNode | ExtraNode;
export interface WireData extends Record<string, unknown> {
  readonly wire: Wire;
}
export type FlowEdge = Edge<WireData, "wire">;

/** The side of a socket. */
export const SOCKET = 12;

function handle(id: string, x: number, y: number, source: boolean): NodeHandle {
  return {
    id,
    type: source ? "source" : "target",
    position: source ? Position.Right : Position.Left,
    x: x - SOCKET / 2,
    y: y - SOCKET / 2,
    width: SOCKET,
    height: SOCKET,
  };
}

/** By the sockets, which shapes that look alike share. */
const handles = new WeakMap<Shape["inputs"], NodeHandle[]>();

function handlesOf(shape: Shape): NodeHandle[] {
  let found = handles.get(shape.inputs);
  if (!found) {
    found = [
      ...shape.inputs.map((socket) => handle(inSocket(socket.name), socket.x, socket.y, false)),
      ...shape.outputs.map((socket) => handle(outSocket(socket.name), socket.x, socket.y, true)),
      ...shape.frames.flatMap((frame) => [
        ...frame.params.map((socket) => handle(paramSocket(frame.port.name, socket.name), socket.x, socket.y, true)),
        ...frame.outputs.map((socket) => handle(bodySocket(frame.port.name, socket.name), socket.x, socket.y, false)),
      ]),
    ];
    handles.set(shape.inputs, found);
  }
  return found;
}

/** How high nodes lie: above all wires, and these above the frames of loops. */
const LEAF = 1000;
const NOTHING: JsonObject = Object.freeze({});

/** The nodes that are given to React Flow, with what they were before. A node stands after the one around it. */
export function flowNodes(
  scene: Scene, boxes: ReadonlyMap<string, Box>, chosen: ReadonlySet<string>, selection: ReadonlySet<string>, drag: ReadonlyMap<string, readonly [number, number]> | null,
  old: ReadonlyMap<string, FlowNode>, ariaLabel: (shape: Shape, node: Node) => string,
): Map<string, FlowNode> {
  const found = new Map<string, FlowNode>();
  for (const [key, entry] of Object.entries(scene.sheet.layout)) {
    const kind = key.startsWith("frame:") ? "frame" : key.startsWith("note:") ? "note" : null;
    if (kind && chosen.has(key)) found.set(key, extraNode(key, kind, objectAt({ entry }, ["entry"]), selection.has(key), drag?.get(key), old.get(key)));
  }
  const names = namesByNode(scene);
  for (const box of boxes.values()) {
    const node = scene.sheet.nodes.get(box.shape.id);
    if (!node || !chosen.has(node.id)) continue;
    const before = old.get(node.id);
    const owner = node.graph.owner;
    const home = owner ? boxes.get(owner) : undefined;
    const x = box.absolute[0] - (home?.absolute[0] ?? 0);
    const y = box.absolute[1] - (home?.absolute[1] ?? 0);
    const selected = selection.has(node.id);
    const layout = scene.sheet.layout[node.id];
    const place = typeof layout === "object" && layout !== null ? (layout as JsonObject) : NOTHING;
    const named = names.get(node.id) ?? "";
    if (
      before?.type === "step" && before.data.shape === box.shape && before.data.node.data === node.data &&
      before.data.named === named && before.selected === selected && before.position.x === x && before.position.y === y &&
      (before.parentId ?? "") === owner && before.data.node.path.length === node.path.length &&
      before.data.place["colour"] === place["colour"]
    ) {
      found.set(node.id, before);
      continue;
    }
    const made: StepNode = {
      id: node.id,
      type: "step",
      position: { x, y },
      width: box.shape.width,
      height: box.shape.height,
      measured: { width: box.shape.width, height: box.shape.height },
      handles: handlesOf(box.shape),
      selected,
      zIndex: box.shape.frames.length ? node.path.length : LEAF + (selected ? 1 : 0),
      ariaLabel: ariaLabel(box.shape, node),
      data: { shape: box.shape, node, place, named },
    };
    if (owner) made.parentId = owner;
    if (box.shape.frames.length) made.dragHandle = ".head";
    found.set(node.id, made);
  }
  return found;
}

/** Which inputs of each node are named, as one text that can be compared. */
function namesByNode(scene: Scene): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, target] of Object.entries(scene.sheet.named)) {
    const [node = "", input = ""] = target.split(".");
    found.set(node, `${found.get(node) ?? ""}${input}=${name};`);
  }
  return found;
}

function extraNode(
  key: string, kind: "frame" | "note", entry: JsonObject, selected: boolean, dragged: readonly [number, number] | undefined,
  before: FlowNode | undefined,
): ExtraNode {
  const at = dragged ?? pointOf(entry["at"]) ?? [0, 0];
  const [width, height] = pointOf(entry["size"]) ?? [220, 120];
  if (
    before && before.type !== "step" && before.data.entry === entry && before.selected === selected &&
    before.position.x === at[0] && before.position.y === at[1]
  ) return before;
  return {
    id: key,
    type: kind,
    position: { x: at[0], y: at[1] },
    width,
    height,
    measured: { width, height },
    selected,
    zIndex: kind === "frame" ? -1 : 0,
    data: { entry },
    ...(kind === "frame" ? { dragHandle: ".head" } : {}),
  };
}

/** The edges that are given to React Flow, with what they were before. */
export function flowEdges(
  wires: readonly Wire[], selection: ReadonlySet<string>, old: ReadonlyMap<string, FlowEdge>,
): Map<string, FlowEdge> {
  const found = new Map<string, FlowEdge>();
  for (const wire of wires) {
    const selected = selection.has(wire.id);
    const before = old.get(wire.id);
    const was = before?.data?.wire;
    if (before && was && before.selected === selected && was.via === wire.via && was.route === wire.route && JSON.stringify(was.type) === JSON.stringify(wire.type) &&
      was.source.home === wire.source.home) {
      found.set(wire.id, before);
      continue;
    }
    found.set(wire.id, {
      id: wire.id,
      type: "wire",
      source: wire.from,
      sourceHandle: wire.fromSocket,
      target: wire.to,
      targetHandle: wire.toSocket,
      selected,
      zIndex: LEAF - 1,
      data: { wire },
    });
  }
  return found;
}

