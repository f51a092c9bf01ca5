/** The wire on which a dragged node is held. */
import { endOf } from "@/canvas/draw";
import { reachOf } from "@/canvas/path";
import type { Drawn } from "@/canvas/useSketch";
import { fitsBetween } from "@/graph/connect";
import type { Point } from "@/graph/edit";
import { courseOf, type Wire } from "@/graph/wires";

/** A wire that runs through the head of a node, and into which the node fits. */
export function wireUnder(id: string, { boxes, wires, scene }: Drawn): Wire | null {
  const node = scene.sheet.nodes.get(id);
  const box = boxes.get(id);
  if (!node || !box || box.shape.frames.length) return null;
  const [x, y] = [box.absolute[0] + box.shape.width / 2, box.absolute[1] + Math.min(box.shape.height, 60) / 2];
  const reachX = box.shape.width / 2;
  for (const wire of wires) {
    if (wire.from === id || wire.to === id) continue;
    const a = endOf(boxes, wire.from, wire.fromSocket);
    const b = endOf(boxes, wire.to, wire.toSocket);
    if (!a || !b || Math.min(a[0], b[0]) > x + reachX || Math.max(a[0], b[0]) < x - reachX) continue;
    if (near([a, ...courseOf(wire), b], [x, y], 22) && scene.sheet.nodes.get(wire.to)?.graph === node.graph && fitsBetween(scene, node, wire.source, wire.target)) {
      return wire;
    }
  }
  return null;
}

function near(points: readonly Point[], [x, y]: Point, distance: number): boolean {
  for (let i = 1; i < points.length; i++) {
    const [[ax, ay], [bx, by]] = [points[i - 1] as Point, points[i] as Point];
    const reach = reachOf(ax, ay, bx, by);
    for (let t = 0; t <= 1; t += 0.04) {
      const s = 1 - t;
      const px = s ** 3 * ax + 3 * s * s * t * (ax + reach) + 3 * s * t * t * (bx - reach) + t ** 3 * bx;
      const py = (s ** 3 + 3 * s * s * t) * ay + (3 * s * t * t + t ** 3) * by;
      if (Math.hypot(px - x, py - y) < distance) return true;
    }
  }
  return false;
}
