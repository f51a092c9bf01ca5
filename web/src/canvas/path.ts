/** The curve of a wire through some points: level where it begins and ends, and at each bend. */
import type { Point } from "@/graph/edit";

export function pathOf(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${first[0]} ${first[1]}`;
  let [ax, ay] = first;
  for (const [bx, by] of rest) {
    const reach = reachOf(ax, ay, bx, by);
    path += `C${ax + reach} ${ay} ${bx - reach} ${by} ${bx} ${by}`;
    [ax, ay] = [bx, by];
  }
  return path;
}

/** How far a curve runs level: half the way, more where it must turn back. */
export function reachOf(ax: number, ay: number, bx: number, by: number): number {
  const dx = bx - ax;
  if (dx >= 0) return Math.max(dx / 2, Math.min(24, Math.abs(by - ay) / 2));
  return Math.min(180, 40 + Math.sqrt(-dx) * 7);
}
