/**
 * What React Flow is given: the nodes and wires around the part of the canvas that is seen. It looks at each node that it
 * has in every frame, so 1,000 nodes of which 30 are seen would cost as much as 1,000.
 */
import { endOf } from "@/canvas/draw";
import { objectAt, type Sheet } from "@/graph/document";
import { pointOf, type Box } from "@/graph/geometry";
import { courseOf, type Wire } from "@/graph/wires";

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

export interface Seen {
  readonly ids: ReadonlySet<string>;
  readonly wires: readonly Wire[];
}

export const NOTHING_SEEN: Seen = { ids: new Set(), wires: [] };

/**
 * The nodes and wires that touch a region, with what these need: the ends of wires, the nodes around; and what is
 * selected, because it is dragged with the rest of the selection.
 */
export function within(
  [left, top, right, bottom]: Region, sheet: Sheet, boxes: ReadonlyMap<string, Box>, wires: readonly Wire[],
  selection: ReadonlySet<string>,
): Seen {
  const ids = new Set<string>();
  const add = (id: string) => {
    for (let next = id; next && !ids.has(next); next = sheet.nodes.get(next)?.graph.owner ?? "") ids.add(next);
  };
  for (const id of selection) {
    if (boxes.has(id)) add(id);
    else if (id in sheet.layout) ids.add(id);
  }
  for (const { absolute: [x, y], shape } of boxes.values()) {
    if (x < right && y < bottom && x + shape.width > left && y + shape.height > top) add(shape.id);
  }
  for (const key of Object.keys(sheet.layout)) {
    if (!key.includes(":")) continue;
    const entry = objectAt(sheet.layout, [key]);
    const [x, y] = pointOf(entry["at"]) ?? [0, 0];
    const [width, height] = pointOf(entry["size"]) ?? [0, 0];
    if (x < right && y < bottom && x + width > left && y + height > top) ids.add(key);
  }
  const found = wires.filter((wire) => {
    const a = endOf(boxes, wire.from, wire.fromSocket);
    const b = endOf(boxes, wire.to, wire.toSocket);
    if (!a || !b) return false;
    const xs = [a[0], b[0], ...courseOf(wire).map(([x]) => x)];
    const ys = [a[1], b[1], ...courseOf(wire).map(([, y]) => y)];
    if (Math.min(...xs) > right || Math.max(...xs) < left || Math.min(...ys) > bottom || Math.max(...ys) < top) return false;
    add(wire.from);
    add(wire.to);
    return true;
  });
  return { ids, wires: found };
}
