/** Arranging: where nodes go when nothing says it, in one graph after another; aligning. */
import type { Scene } from "@/graph/connect";
import { chain, type Graph } from "@/graph/document";
import type { Point } from "@/graph/edit";
import { boxes, placeIn, type Box } from "@/graph/geometry";
import type { Layouter } from "@/graph/layouter";
import { EDGE, stretches, type Layout } from "@/graph/routes";
import { wires } from "@/graph/wires";

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
      const own = (edges.get(graph) ?? []).filter(([a, b]) => (a === EDGE || which(a)) && which(b));
      const found = layouter(sized, own);
      const [left, top] = ids.length < graph.ids.length ? between(found.places, ids, now) : [0, 0];
      const put = ([x, y]: Point): Point => [Math.round(x + left), Math.round(y + top)];
      for (const [id, point] of found.places) places.set(id, put(point));
      for (const [ends, points] of found.routes) routes.set(ends, points.map(put));
    }
  }
  return { places, routes };
}

/** How far some of the nodes of a graph are to be moved, so that they stay where they were. */
function between(places: ReadonlyMap<string, Point>, ids: readonly string[], now: ReadonlyMap<string, Box>): Point {
  const [was, is] = [cornerOf(ids.map((id) => now.get(id)?.at ?? [0, 0])), cornerOf([...places.values()])];
  return [was[0] - is[0], was[1] - is[1]];
}

function cornerOf(all: readonly Point[]): Point {
  return [Math.min(...all.map(([x]) => x)), Math.min(...all.map(([, y]) => y))];
}

/** What is connected in each graph: its nodes, and those that wires come to from the edge of the frame. */
function edgesByGraph(scene: Scene): Map<Graph, (readonly [string, string])[]> {
  const found = new Map<Graph, (readonly [string, string])[]>();
  for (const wire of wires(scene)) {
    for (const { graph, from, to } of stretches(scene, wire)) {
      const list = found.get(graph);
      if (list) list.push([from, to]);
      else found.set(graph, [[from, to]]);
    }
  }
  return found;
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
