import { expect, test } from "vitest";
import { aligned, arranged } from "@/graph/arrange";
import { withPlace } from "@/graph/edit";
import { names, of, open } from "@/graph/fixtures/load";
import { boxes } from "@/graph/geometry";
import { columns, dagre } from "@/graph/layouter";
import { wires } from "@/graph/wires";
import { endOf } from "@/canvas/draw";

const NONE = new Set<string>();

test("every wire of every shipped workflow ends at sockets that are there", () => {
  for (const name of names) {
    const scene = open(name);
    const all = boxes(scene, { pictured: NONE, place: () => undefined });
    for (const wire of wires(scene)) {
      expect(endOf(all, wire.from, wire.fromSocket), `${name}: ${wire.id}`).not.toBeNull();
      expect(endOf(all, wire.to, wire.toSocket), `${name}: ${wire.id}`).not.toBeNull();
    }
  }
});

test("tidied nodes do not overlap, and frames hold what is in them", async () => {
  const layouter = await dagre();
  for (const name of ["text_to_image", "lora", "custom_guidance"]) {
    const scene = open(name);
    const { places } = arranged(scene, NONE, layouter);
    const all = boxes(scene, { pictured: NONE, place: (id) => places.get(id) });
    for (const graph of scene.sheet.graphs) {
      const inner = graph.ids.flatMap((id) => all.get(id) ?? []);
      for (const a of inner) {
        for (const b of inner) {
          if (a === b) continue;
          const apart = a.at[0] + a.shape.width <= b.at[0] || b.at[0] + b.shape.width <= a.at[0] ||
            a.at[1] + a.shape.height <= b.at[1] || b.at[1] + b.shape.height <= a.at[1];
          expect(apart, `${name}: ${a.shape.id} and ${b.shape.id}`).toBe(true);
        }
        const owner = all.get(graph.owner);
        if (!owner) continue;
        expect(a.absolute[0]).toBeGreaterThan(owner.absolute[0]);
        expect(a.absolute[1] + a.shape.height).toBeLessThan(owner.absolute[1] + owner.shape.height);
        expect(a.absolute[0] + a.shape.width).toBeLessThan(owner.absolute[0] + owner.shape.width);
      }
    }
  }
});

test("the carried value of a loop is known from its types", () => {
  const all = boxes(open("text_to_image"), { pictured: NONE, place: () => undefined });
  const [frame] = all.get("denoise")?.shape.frames ?? [];
  expect(frame?.carried).toEqual([{ output: "latent", input: "latent" }]);
  expect(frame?.first).toEqual({ latent: "start", timestep: "each of over" });
  expect(frame?.params.map((socket) => socket.type)).toEqual(["Latent", "Timestep"]);
});

test("a shape is made once for what did not change", () => {
  const scene = open("text_to_image");
  const first = boxes(scene, { pictured: NONE, place: () => undefined });
  const again = boxes(of(withPlace(scene.document, scene.sheet, "model", { at: [9, 9] })), { pictured: NONE, place: () => undefined });
  expect(again.get("decode")?.shape).toBe(first.get("decode")?.shape);
  expect(again.get("model")?.at).toEqual([9, 9]);
});

test("a frame stays as it is while a node is dragged out of it, and grows around one that stands there", () => {
  const scene = open("text_to_image");
  const far = (id: string): readonly [number, number] | undefined => (id === "guided" ? [2000, 900] : undefined);
  const sizeOf = (options: Partial<Parameters<typeof boxes>[1]>) =>
    boxes(scene, { pictured: NONE, place: () => undefined, ...options }).get("denoise")?.shape.width ?? 0;
  const resting = sizeOf({});
  expect(sizeOf({ place: far, rest: () => undefined })).toBe(resting);
  expect(sizeOf({ place: far })).toBeGreaterThan(resting + 1000);
  const dragged = boxes(scene, { pictured: NONE, place: far, rest: () => undefined }).get("guided");
  expect(dragged?.at).toEqual([2000, 900]);
});

test("columns put each node after what it needs, however the wires run", () => {
  const nodes = ["a", "b", "c"].map((id) => ({ id, width: 10, height: 10 }));
  const { places } = columns(nodes, [["c", "a"], ["a", "b"], ["b", "c"]]); // a cycle
  expect(places.size).toBe(3);
  const { places: straight } = columns(nodes, [["c", "a"], ["a", "b"]]);
  expect(straight.get("c")?.[0]).toBeLessThan(straight.get("a")?.[0] ?? 0);
});

test("aligned boxes share an edge, and equal gaps are equal", () => {
  const scene = open("text_to_image");
  const { places } = arranged(scene, NONE, columns);
  const all = boxes(scene, { pictured: NONE, place: (id) => places.get(id) });
  const group = ["model", "decode", "save"].flatMap((id) => all.get(id) ?? []);
  const left = aligned(group, "left");
  expect(new Set([...left.values()].map(([x]) => x)).size).toBe(1);
  const right = aligned(group, "right");
  const edges = group.map((box) => (right.get(box.shape.id)?.[0] ?? 0) + box.shape.width);
  expect(new Set(edges).size).toBe(1);
});
