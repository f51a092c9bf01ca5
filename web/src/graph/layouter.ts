/** Layouters: places for the nodes of one graph, in columns from left to right. */
import type { Point } from "@/graph/edit";
import { EDGE, stretchKey, type Layout } from "@/graph/routes";

export interface Sized {
  readonly id: string;
  readonly width: number;
  readonly height: number;
}

/** Places for the nodes of one graph, and routes; an edge may begin at `EDGE`, which is left of all nodes. */
export type Layouter = (nodes: readonly Sized[], edges: readonly (readonly [string, string])[]) => Layout;

const GAP_X = 70;
const GAP_Y = 26;
/** Between a node and a wire that passes it. */
const CLEAR = 10;
/** Before the first nodes in a frame, for the wires from its sockets. */
const LEAD = 40;

/** Columns from left to right, each node one further than the last that it needs; quick, and without a library. */
export const columns: Layouter = (nodes, edges) => {
  const before = new Map<string, string[]>();
  for (const [a, b] of edges) if (a !== EDGE) before.set(b, [...(before.get(b) ?? []), a]);
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
    if (edges.some(([a]) => a === EDGE)) graph.setNode(EDGE, { width: 0, height: 0 });
    for (const [a, b] of edges) graph.setEdge(a, b);
    library.layout(graph);
    const framed = graph.hasNode(EDGE);
    const bends = edges.flatMap(([a, b]) => {
      const { points } = graph.edge(a, b) as { points: readonly { x: number; y: number }[] };
      // the first and the last lie on the edges of the two nodes
      return points.length > 3 ? [{ key: stretchKey(a, b), points: points.slice(1, -1) }] : [];
    });
    const middles = new Map(nodes.map(({ id }) => [id, graph.node(id) as { x: number; y: number }]));
    const turn = framed && lower(nodes, middles, bends) ? -1 : 1;
    const found = new Map<string, Point>();
    let [left, top] = [Infinity, Infinity];
    for (const { id, width, height } of nodes) {
      const { x, y } = middles.get(id) ?? { x: 0, y: 0 };
      found.set(id, [x - width / 2, turn * y - height / 2]);
      left = Math.min(left, x - width / 2);
      top = Math.min(top, turn * y - height / 2);
    }
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
    const routes = bends.map(({ key, points }) => [key, points.map(({ x, y }) => clear([x, turn * y]))] as const);
    if (framed) {
      left -= LEAD;
      top = Math.min(top, ...routes.flatMap(([, points]) => points.map(([, y]) => y)));
    }
    const moved = ([x, y]: Point): Point => [framed ? Math.max(x - left, LEAD - CLEAR) : x - left, y - top];
    return {
      places: new Map([...found].map(([id, [x, y]]) => [id, [x - left, y - top]])),
      routes: new Map(routes.map(([key, points]) => [key, points.map(moved)])),
    };
  };
}

interface Middle {
  readonly x: number;
  readonly y: number;
}

/** Whether wires run further below the nodes than above. A frame has room above, where its places are counted from. */
function lower(
  nodes: readonly Sized[], middles: ReadonlyMap<string, Middle>, bends: readonly { readonly points: readonly Middle[] }[],
): boolean {
  const heights = bends.flatMap(({ points }) => points.map(({ y }) => y));
  const tops = nodes.map(({ id, height }) => (middles.get(id)?.y ?? 0) - height / 2);
  const ends = nodes.map(({ id, height }) => (middles.get(id)?.y ?? 0) + height / 2);
  return Math.max(...heights) - Math.max(...ends) > Math.min(...tops) - Math.min(...heights);
}
