/**
 * What React Flow is given: the nodes and wires around the part of the canvas that is seen. It looks at each node that it
 * has in every frame, so 1,000 nodes of which 30 are seen would cost as much as 1,000.
 */
import { endOf } from "@/canvas/draw";
import type { FlowEdge, FlowNode } from "@/canvas/flow";
import type { Box } from "@/graph/geometry";

/** A part of the canvas: left, top, right, bottom. */
export type Region = readonly [number, number, number, number];

/** The region around what is seen, a window's size more on each side, in steps so that it seldom changes. */
export function regionOf(x: number, y: number, zoom: number, width: number, height: number): Region {
  // the step follows the size on the canvas in powers of two, so that it stays while zooming a little
  const stepX = 2 ** Math.ceil(Math.log2(Math.max(1, width / zoom) / 2));
  const stepY = 2 ** Math.ceil(Math.log2(Math.max(1, height / zoom) / 2));
  const [left, top] = [-x / zoom, -y / zoom];
  return [
    (Math.floor(left / stepX) - 1) * stepX,
    (Math.floor(top / stepY) - 1) * stepY,
    (Math.ceil((left + width / zoom) / stepX) + 1) * stepX,
    (Math.ceil((top + height / zoom) / stepY) + 1) * stepY,
  ];
}

/** The nodes and wires that touch a region, with what these need: the ends of wires, the nodes around. */
export function within(
  region: Region, boxes: ReadonlyMap<string, Box>, nodes: ReadonlyMap<string, FlowNode>, edges: ReadonlyMap<string, FlowEdge>,
): { readonly nodes: FlowNode[]; readonly edges: FlowEdge[] } {
  const [left, top, right, bottom] = region;
  const chosen = new Set<string>();
  const add = (id: string | undefined) => {
    for (let next = id; next !== undefined && !chosen.has(next); next = nodes.get(next)?.parentId) chosen.add(next);
  };
  for (const [id, node] of nodes) {
    const box = boxes.get(id);
    const [x, y] = box?.absolute ?? [node.position.x, node.position.y];
    if (x < right && y < bottom && x + (node.width ?? 0) > left && y + (node.height ?? 0) > top) add(id);
  }
  const wires: FlowEdge[] = [];
  for (const edge of edges.values()) {
    const a = endOf(boxes, edge.source, edge.sourceHandle ?? "");
    const b = endOf(boxes, edge.target, edge.targetHandle ?? "");
    if (!a || !b) continue;
    const across = Math.min(a[0], b[0]) < right && Math.max(a[0], b[0]) > left;
    if (!across || Math.min(a[1], b[1]) > bottom || Math.max(a[1], b[1]) < top) continue;
    wires.push(edge);
    add(edge.source);
    add(edge.target);
  }
  // a node stands after the one around it, as in `nodes`
  return { nodes: [...nodes].filter(([id]) => chosen.has(id)).map(([, node]) => node), edges: wires };
}
