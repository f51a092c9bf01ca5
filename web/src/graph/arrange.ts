/** Arranging: where nodes go when nothing says it, tidying with dagre, aligning. */
import type { Scene } from "@/graph/connect";
import { chain, type Graph, type Node } from "@/graph/document";
import type { Point } from "@/graph/edit";
import { boxes, placeIn, type Box } from "@/graph/geometry";
import { wires, type Wire } from "@/graph/wires";

export interface Sized {
  readonly id: string;
  readonly width: number;
  readonly height: number;
}

/** Where nodes go, and which points the wires between two run through that are further apart; by `source target`. */
export interface Layout {
  readonly places: Map<string, Point>;
  readonly routes: Map<string, readonly Point[]>;
}

export type Layouter = (nodes: readonly Sized[], edges: readonly (readonly [string, string])[]) => Layout;

const GAP_X = 70;
const GAP_Y = 26;
/** Between a node and a wire that passes it. */
const CLEAR = 10;

/** Places for all nodes of a sheet, or only for those that `which` names; inner graphs first, because they size their frames. */
export function arranged(
  scene: Scene, pictured: ReadonlySet<string>, layouter: Layouter, which: (id: string) => boolean = () => true,
): Layout {
  const { sheet } = scene;
  const places = new Map<string, Point>();
  const routes = new Map<string, readonly Point[]>();
  const edges = edgesByGraph(scene);
  const depth = (graph: Graph) => chain(graph).length;
  const deepest = Math.max(...sheet.graphs.map(depth));
  for (let level = deepest; level > 0; level--) {
    const now = boxes(scene, { pictured, place: (id) => places.get(id) });
    for (const graph of sheet.graphs) {
      if (depth(graph) !== level) continue;
      const ids = graph.ids.filter(which);
      if (!ids.length) continue;
      const sized = ids.flatMap((id) => {
        const box = now.get(id);
        return box ? [{ id, width: box.shape.width, height: box.shape.height }] : [];
      });
      const own = (edges.get(graph) ?? []).filter(([a, b]) => which(a) && which(b));
      const found = layouter(sized, own);
      const corner = ids.length < graph.ids.length ? cornerOf(ids, now) : ([0, 0] as const);
      const put = ([x, y]: Point): Point => [Math.round(x + corner[0]), Math.round(y + corner[1])];
      for (const [id, point] of found.places) places.set(id, put(point));
      if (graph === sheet.root) for (const [ends, points] of found.routes) routes.set(ends, points.map(put));
    }
  }
  return { places, routes };
}

function cornerOf(ids: readonly string[], now: ReadonlyMap<string, Box>): Point {
  const all = ids.map((id) => now.get(id)?.at ?? [0, 0]);
  return [Math.min(...all.map(([x]) => x)), Math.min(...all.map(([, y]) => y))];
}

/** The wires between the nodes of each graph; one that goes into a body counts for the node that has it. */
function edgesByGraph(scene: Scene): Map<Graph, (readonly [string, string])[]> {
  const found = new Map<Graph, (readonly [string, string])[]>();
  for (const wire of wires(scene)) {
    const ends = endsOf(scene, wire);
    if (!ends) continue;
    const [from, to] = ends;
    const list = found.get(from.graph);
    if (list) list.push([from.id, to.id]);
    else found.set(from.graph, [[from.id, to.id]]);
  }
  return found;
}

/** The nodes of one graph between which a wire runs, the second perhaps with its end inside; null for other wires. */
function endsOf(scene: Scene, wire: Wire): readonly [Node, Node] | null {
  const from = scene.sheet.nodes.get(wire.from);
  let end = scene.sheet.nodes.get(wire.to);
  if (!from || wire.fromSocket.startsWith("p:")) return null;
  while (end && end.graph !== from.graph) end = scene.sheet.nodes.get(end.graph.owner);
  return end && end !== from ? [from, end] : null;
}

/** Between two wires that run side by side. */
const BESIDE = 5;

/**
 * The wires with their routes, as far as both ends stand where they were laid out. A wire that goes into a loop is led
 * to its frame.
 */
export function routed(
  scene: Scene, all: readonly Wire[], { places, routes }: Layout, at: (id: string) => Point | undefined,
): readonly Wire[] {
  if (!routes.size) return all;
  const still = (id: string) => {
    const [now, then] = [at(id), places.get(id)];
    return now && then && now[0] === then[0] && now[1] === then[1];
  };
  const beside = new Map<string, number>();
  return all.map((wire) => {
    const ends = endsOf(scene, wire);
    const key = ends ? `${ends[0].id} ${ends[1].id}` : "";
    const points = routes.get(key);
    if (!ends || !points || wire.via.length || !still(ends[0].id) || !still(ends[1].id)) return wire;
    const place = beside.get(key) ?? 0;
    beside.set(key, place + 1);
    return { ...wire, route: shifted(points, place * BESIDE) };
  });
}

const shifts = new WeakMap<readonly Point[], Map<number, readonly Point[]>>();

/** Points further down; the same each time, so that a wire that has not changed is not drawn again. */
function shifted(points: readonly Point[], by: number): readonly Point[] {
  let known = shifts.get(points);
  if (!known) shifts.set(points, (known = new Map<number, readonly Point[]>()));
  let found = known.get(by);
  if (!found) known.set(by, (found = points.map(([x, y]) => [x, y + by] as const)));
  return found;
}

/** Columns from left to right, each node one further than the last that it needs; quick, and without a library. */
export const columns: Layouter = (nodes, edges) => {
  const before = new Map<string, string[]>();
  for (const [a, b] of edges) before.set(b, [...(before.get(b) ?? []), a]);
  const column = new Map<string, number>();
  const open = new Set<string>();
  for (const { id } of nodes) {
    const stack = [id];
    for (let next = stack.at(-1); next !== undefined; next = stack.at(-1)) {
      const todo = (before.get(next) ?? []).filter((source) => !column.has(source) && !open.has(source));
      open.add(next);
      if (todo.length) {
        stack.push(...todo);
        continue;
      }
      stack.pop();
      if (!column.has(next)) {
        column.set(next, Math.max(-1, ...(before.get(next) ?? []).map((source) => column.get(source) ?? -1)) + 1);
      }
    }
  }
  const found = new Map<string, Point>();
  const rows: Sized[][] = [];
  for (const node of nodes) (rows[column.get(node.id) ?? 0] ??= []).push(node);
  let x = 0;
  for (const row of rows) {
    if (!row) continue;
    let y = 0;
    for (const node of row) {
      found.set(node.id, [x, y]);
      y += node.height + GAP_Y;
    }
    x += Math.max(...row.map((node) => node.width)) + GAP_X;
  }
  return { places: found, routes: new Map() };
};

/** The layout of dagre, which is loaded when it is first asked for. */
export async function dagre(): Promise<Layouter> {
  const { default: library } = await import("@dagrejs/dagre");
  return (nodes, edges) => {
    const graph = new library.graphlib.Graph();
    graph.setGraph({ rankdir: "LR", nodesep: GAP_Y, ranksep: GAP_X, edgesep: 14, ranker: "network-simplex" });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const { id, width, height } of nodes) graph.setNode(id, { width, height });
    for (const [a, b] of edges) graph.setEdge(a, b);
    library.layout(graph);
    const found = new Map<string, Point>();
    let [left, top] = [Infinity, Infinity];
    for (const { id, width, height } of nodes) {
      const { x, y } = graph.node(id) as { x: number; y: number };
      found.set(id, [x - width / 2, y - height / 2]);
      left = Math.min(left, x - width / 2);
      top = Math.min(top, y - height / 2);
    }
    const moved = ([x, y]: Point): Point => [x - left, y - top];
    // dagre leads a wire along the edge of a node now and then
    const clear = ([x, y]: Point): Point => {
      const box = nodes.find(({ id, width, height }) => {
        const [l, t] = found.get(id) ?? [0, 0];
        return x > l && x < l + width && y > t - CLEAR && y < t + height + CLEAR;
      });
      if (!box) return [x, y];
      const t = found.get(box.id)?.[1] ?? 0;
      return [x, y < t + box.height / 2 ? t - CLEAR : t + box.height + CLEAR];
    };
    const routes = new Map<string, readonly Point[]>();
    for (const [a, b] of edges) {
      const { points } = graph.edge(a, b) as { points: readonly { x: number; y: number }[] };
      // the first and the last lie on the edges of the two nodes
      if (points.length > 3) routes.set(`${a} ${b}`, points.slice(1, -1).map(({ x, y }) => moved(clear([x, y]))));
    }
    return { places: new Map([...found].map(([id, point]) => [id, moved(point)])), routes };
  };
}

/** Whether some nodes of a sheet have no place in the file. */
export function unplaced(scene: Scene): string[] {
  return [...scene.sheet.nodes.keys()].filter((id) => placeIn(scene.sheet, id) === undefined);
}

export type Side = "left" | "centre" | "right" | "top" | "middle" | "bottom" | "across" | "down";

/** Places for some boxes of one graph in line with each other; `across` and `down` give them equal gaps. */
export function aligned(all: readonly Box[], side: Side): Map<string, Point> {
  const found = new Map<string, Point>();
  const [first] = all;
  if (!first) return found;
  const left = Math.min(...all.map(({ at }) => at[0]));
  const right = Math.max(...all.map(({ at, shape }) => at[0] + shape.width));
  const top = Math.min(...all.map(({ at }) => at[1]));
  const bottom = Math.max(...all.map(({ at, shape }) => at[1] + shape.height));
  if (side === "across" || side === "down") {
    const axis = side === "across" ? 0 : 1;
    const size = (box: Box) => (axis === 0 ? box.shape.width : box.shape.height);
    const sorted = [...all].sort((a, b) => a.at[axis] - b.at[axis]);
    const span = axis === 0 ? right - left : bottom - top;
    const gap = (span - sorted.reduce((sum, box) => sum + size(box), 0)) / Math.max(1, sorted.length - 1);
    let next = axis === 0 ? left : top;
    for (const box of sorted) {
      found.set(box.shape.id, axis === 0 ? [next, box.at[1]] : [box.at[0], next]);
      next += size(box) + Math.max(gap, 12);
    }
    return found;
  }
  for (const { shape, at: [x, y] } of all) {
    const places: Readonly<Record<typeof side, Point>> = {
      left: [left, y],
      right: [right - shape.width, y],
      centre: [(left + right - shape.width) / 2, y],
      top: [x, top],
      bottom: [x, bottom - shape.height],
      middle: [x, (top + bottom - shape.height) / 2],
    };
    found.set(shape.id, places[side]);
  }
  return found;
}
