import { expect, test } from "vitest";
import { arranged } from "@/graph/arrange";
import type { Scene } from "@/graph/connect";
import type { Point } from "@/graph/edit";
import { names, open } from "@/graph/fixtures/load";
import { boxes, type Box } from "@/graph/geometry";
import { dagre } from "@/graph/layouter";
import { routed, type Layout } from "@/graph/routes";
import { wires } from "@/graph/wires";

const NONE = new Set<string>();

/** A workflow, laid out. */
async function laidOut(name: string): Promise<{ scene: Scene; laid: Layout; all: Map<string, Box> }> {
  const scene = open(name);
  const laid = arranged(scene, NONE, await dagre());
  return { scene, laid, all: boxes(scene, { pictured: NONE, place: (id) => laid.places.get(id) }) };
}

/** A node and those in whose frames it stands. */
function around(scene: Scene, id: string): string[] {
  const found: string[] = [];
  for (let node = scene.sheet.nodes.get(id); node; node = scene.sheet.nodes.get(node.graph.owner)) found.push(node.id);
  return found;
}

function holds({ absolute: [left, top], shape }: Box, [x, y]: Point): boolean {
  return x > left && x < left + shape.width && y > top && y < top + shape.height;
}

test("a long wire runs around the nodes between, in frames too", async () => {
  let inFrames = 0;
  for (const name of names) {
    const { scene, laid, all } = await laidOut(name);
    const found = routed(scene, wires(scene), laid, all);
    for (const { route = [], from, to, id } of found) {
      const free = new Set([...around(scene, from), ...around(scene, to)]);
      for (const point of route) {
        for (const box of all.values()) {
          if (!free.has(box.shape.id)) expect(holds(box, point), `${name}: ${id} passes ${box.shape.id}`).toBe(false);
          else if (box.shape.frames.length && holds(box, point)) inFrames++;
        }
      }
    }
    expect(routed(scene, wires(scene), laid, all).map((wire) => wire.route)).toEqual(found.map((wire) => wire.route));
  }
  expect(inFrames).toBeGreaterThan(10);
});

test("a route counts while its ends stand where they were laid out, and goes with its frame", async () => {
  const { scene, laid, all } = await laidOut("text_to_image");
  const routeOf = (id: string, moved: Readonly<Record<string, Point>> = {}) => {
    const now = boxes(scene, { pictured: NONE, place: (id) => moved[id] ?? laid.places.get(id) });
    return routed(scene, wires(scene), laid, now).find((wire) => wire.id === id)?.route;
  };
  const route = routeOf("model.vae>decode.vae");
  expect(route?.length).toBeGreaterThan(2);
  expect(routeOf("model.vae>decode.vae")).toBe(route); // the same object, so that it is not drawn again
  expect(routeOf("model.vae>decode.vae", { decode: [0, 0] })).toBeUndefined();

  const [x, y] = all.get("denoise")?.at ?? [0, 0];
  const inner = routeOf("latent>next.latent");
  expect(inner?.length).toBeGreaterThan(0);
  expect(routeOf("latent>next.latent", { denoise: [x + 40, y + 7] })).toEqual(inner?.map(([x, y]) => [x + 40, y + 7]));
  expect(routeOf("latent>next.latent", { next: [900, 900] })).toBeUndefined();
});

test("a wire from outside of a frame is led to it, and on inside of it", async () => {
  const { scene, laid, all } = await laidOut("text_to_image");
  const box = all.get("denoise");
  const route = routed(scene, wires(scene), laid, all).find((wire) => wire.id === "solver.value>next.solver")?.route ?? [];
  expect(box && route.filter((point) => holds(box, point)).length).toBeGreaterThan(0);
  expect(box && route.filter((point) => !holds(box, point)).length).toBeGreaterThan(0);
});
