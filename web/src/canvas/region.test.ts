import { expect, test } from "vitest";
import { regionOf, within } from "@/canvas/region";
import { arranged } from "@/graph/arrange";
import { open } from "@/graph/fixtures/load";
import { boxes } from "@/graph/geometry";
import { columns } from "@/graph/layouter";
import { wires } from "@/graph/wires";

test("a region holds what is seen and a margin around it, and stays while the view moves a little", () => {
  const region = regionOf(-500, -300, 1, 1600, 900);
  expect(region[0]).toBeLessThan(500 - 500);
  expect(region[2]).toBeGreaterThan(500 + 1600);
  expect(regionOf(-510, -305, 1, 1600, 900)).toEqual(region);
});

test("what touches a region comes with the ends of its wires, the loop around it, and the selection", () => {
  const scene = open("text_to_image");
  const { places } = arranged(scene, new Set(), columns);
  const all = boxes(scene, { pictured: new Set(), place: (id) => places.get(id) });
  const cfg = all.get("guided");
  if (!cfg) throw new Error("guided");
  const [x, y] = cfg.absolute;
  const seen = within([x, y, x + 10, y + 10], scene.sheet, all, wires(scene), new Set(["save"]));
  expect(seen.ids).toContain("guided");
  expect(seen.ids).toContain("denoise");
  expect(seen.ids).toContain("save");
  for (const wire of seen.wires) {
    expect(seen.ids).toContain(wire.from);
    expect(seen.ids).toContain(wire.to);
  }
  const nothing = within([1e6, 1e6, 1e6 + 1, 1e6 + 1], scene.sheet, all, wires(scene), new Set());
  expect(nothing.ids.size + nothing.wires.length).toBe(0);
});
