/** Routes: how long wires are led around the nodes between, in each graph that they run through. */
import type { Scene } from "@/graph/connect";
import type { Graph } from "@/graph/document";
import type { Point } from "@/graph/edit";
import { originOf, type Box } from "@/graph/geometry";
import type { Wire } from "@/graph/wires";

/** Where nodes go, and which points wires run through; those of a body are counted from where its nodes are. */
export interface Layout {
  readonly places: ReadonlyMap<string, Point>;
  /** By `stretchKey`. */
  readonly routes: ReadonlyMap<string, readonly Point[]>;
}

/** What stands for the left edge of a frame: wires come in there from around it, and from its own sockets. */
export const EDGE = "|";

/** The part of a wire that lies in one graph: from a node, or from the edge of the frame, to a node. */
export interface Stretch {
  readonly graph: Graph;
  readonly from: string;
  readonly to: string;
}

export const stretchKey = (from: string, to: string) => `${from} ${to}`;

/** The stretches of a wire, from where it begins; none for one to a socket at the right edge of a frame. */
export function stretches({ sheet }: Scene, wire: Wire): readonly Stretch[] {
  const from = sheet.nodes.get(wire.from);
  const [side, port = ""] = wire.fromSocket.split(":");
  const home = side === "p" ? from?.bodies[port] : from?.graph;
  let end = wire.toSocket.startsWith("b:") ? undefined : sheet.nodes.get(wire.to);
  const found: Stretch[] = [];
  while (end && end.graph !== home) {
    found.unshift({ graph: end.graph, from: EDGE, to: end.id });
    end = sheet.nodes.get(end.graph.owner);
  }
  if (!from || !home || !end || end === from) return [];
  return [{ graph: home, from: side === "p" ? EDGE : from.id, to: end.id }, ...found];
}

/** Between two wires that run side by side. */
const BESIDE = 5;

/** The wires with their routes; a stretch has its own as long as both of its ends stand where they were laid out. */
export function routed(
  scene: Scene, all: readonly Wire[], layout: Layout, boxes: ReadonlyMap<string, Box>,
): readonly Wire[] {
  const { places, routes } = layout;
  if (!routes.size) return all;
  const still = (id: string) => {
    const [now, then] = [boxes.get(id)?.at, places.get(id)];
    return id === EDGE || (now && then && now[0] === then[0] && now[1] === then[1]);
  };
  const beside = new Map<string, number>();
  return all.map((wire) => {
    if (wire.via.length) return wire;
    const points: Point[] = [];
    for (const { graph, from, to } of stretches(scene, wire)) {
      const key = stretchKey(from, to);
      const route = routes.get(key);
      if (!route || !still(from) || !still(to)) continue;
      const place = beside.get(key) ?? 0;
      beside.set(key, place + 1);
      const [left, top] = originOf(graph, boxes);
      points.push(...route.map(([x, y]): Point => [x + left, y + top + place * BESIDE]));
    }
    return points.length ? { ...wire, route: same(layout, wire.id, points) } : wire;
  });
}

const kept = new WeakMap<Layout, Map<string, readonly Point[]>>();

/** The points that a wire had before if they are the same, so that a wire that has not changed is not drawn again. */
function same(layout: Layout, wire: string, points: readonly Point[]): readonly Point[] {
  let known = kept.get(layout);
  if (!known) kept.set(layout, (known = new Map<string, readonly Point[]>()));
  const old = known.get(wire);
  if (old?.length === points.length && old.every(([x, y], i) => x === points[i]?.[0] && y === points[i]?.[1])) return old;
  known.set(wire, points);
  return points;
}
