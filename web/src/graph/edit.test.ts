import { expect, test } from "vitest";
import { merged, patches, redone, undone, type Change } from "@/graph/change";
import { copied, duplicated, pasted } from "@/graph/clipboard";
import { connected, fit, targets, visible, scopeOf } from "@/graph/connect";
import { at, graphNames, isLiteral, put, sheet, type Document } from "@/graph/document";
import {
  freeId, fresh, moved, removed, renamedNode, unlinked, withField, withInput, withNode, withPlace, withState,
} from "@/graph/edit";
import { format } from "@/graph/format";
import { document, load, names, of, open, textOf, types } from "@/graph/fixtures/load";
import { real } from "@/graph/number";
import { madeSubgraph, movedInto, unpacked } from "@/graph/subgraph";
import { wires } from "@/graph/wires";

/** A generator of numbers that are the same each time (Marsaglia 2003, xorshift of 32 bits). */
function dice(seed: number): (sides: number) => number {
  let x = seed;
  return (sides) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % sides;
  };
}

function pick<T>(roll: (sides: number) => number, from: readonly T[]): T | undefined {
  return from.length ? from[roll(from.length)] : undefined;
}

/** One edit that a user might make, whatever it is. */
function anyEdit(now: Document, roll: (sides: number) => number): Document {
  const scene = of(now);
  const { sheet: main } = scene;
  const nodes = [...main.nodes.values()];
  const node = pick(roll, nodes);
  const graph = pick(roll, main.graphs) ?? main.root;
  const kind = pick(roll, [...types.values()]);
  switch (roll(14)) {
    case 0: return kind ? withNode(now, graph, freeId(main.nodes, kind.id), fresh(kind)) : now;
    case 1: return node ? removed(now, "", [node.id]) : now;
    case 2: {
      const target = pick(roll, targets(scene));
      const scope = target && scopeOf(main, target);
      const source = scope && pick(roll, visible(scene, scope))?.source;
      return source && fit(scene, source, target).ok ? connected(scene, source, target) : now;
    }
    case 3: {
      const wire = pick(roll, wires(scene));
      const home = wire && main.nodes.get(wire.target.node);
      return home && wire.target.body === undefined ? unlinked(now, home, wire.target.input, wire.item, types.get(home.type)) : now;
    }
    case 4: {
      const [name] = node ? Object.keys(node.inputs).filter((key) => isLiteral(node.inputs[key])) : [];
      return node && name !== undefined ? withInput(now, node, name, real(roll(1000) / 10)) : now;
    }
    case 5: return node ? withField(now, node, roll(2) ? "title" : "note", roll(3) ? `text ${roll(99)}` : "") : now;
    case 6: return node ? withState(now, [node], (["muted", "bypassed", ""] as const)[roll(3)] ?? "") : now;
    case 7: return node ? renamedNode(now, "", node.id, freeId(main.nodes, `renamed_${roll(50)}`)) : now;
    case 8: return node ? moved(now, main, new Map([[node.id, [roll(900), roll(900)]]])) : now;
    case 9: return node ? withPlace(now, main, node.id, { collapsed: roll(2) === 0 ? true : undefined, colour: "#3f73c2" }) : now;
    case 10: return node ? duplicated(scene, [node.id]).document : now;
    case 11: {
      const made = node && madeSubgraph(scene, [node.id], freeId(new Set(graphNames(now)), "group"));
      return made && typeof made !== "string" ? made.document : now;
    }
    case 12: {
      const instance = nodes.find((other) => other.type.startsWith("graph:"));
      return instance ? (unpacked(scene, instance.id)?.document ?? now) : now;
    }
    default: {
      const found = node ? movedInto(scene, [node.id], graph) : now;
      return typeof found === "string" ? now : found;
    }
  }
}

test.each([1, 2, 3, 4, 5])("200 random edits undone give the same bytes, and done again too (seed %i)", (seed) => {
  const roll = dice(seed * 7919);
  const name = names[roll(names.length)] ?? "text_to_image";
  const start = load(name);
  let now = start;
  const past: Change[] = [];
  let refused = 0;
  while (past.length < 200) {
    const next = anyEdit(now, roll);
    const found = patches(now, next);
    if (!found.length) {
      if (++refused > 5000) throw new Error("hardly any edit changes something");
      continue;
    }
    past.push({ label: "", merge: "", patches: found });
    now = next;
  }
  const end = format(now);
  expect(end).not.toBe(textOf(name));
  for (const change of [...past].reverse()) now = undone(now, change);
  expect(format(now)).toBe(textOf(name));
  for (const change of past) now = redone(now, change);
  expect(format(now)).toBe(end);
});

test("a patch holds only what changed", () => {
  const before = load("text_to_image");
  const node = sheet(before)?.nodes.get("guided");
  if (!node) throw new Error("guided");
  const found = patches(before, withInput(before, node, "scale", 7));
  expect(found.map((patch) => patch.path.join("."))).toEqual(["nodes.denoise.inputs.body.graph.nodes.guided.inputs.scale"]);
});

test("changes of one place merge into one", () => {
  const base = load("text_to_image");
  const node = sheet(base)?.nodes.get("schedule");
  if (!node) throw new Error("schedule");
  const one = withInput(base, node, "steps", 21);
  const two = withInput(one, node, "steps", 22);
  const both = merged(
    { label: "", merge: "m", patches: patches(base, one) }, { label: "", merge: "m", patches: patches(one, two) },
  );
  expect(both.patches).toHaveLength(1);
  expect(format(undone(two, both))).toBe(format(base));
});

test("a renamed node keeps its links, its names and its place", () => {
  const start = put(load("text_to_image"), ["layout"], { model: { at: [1, 2] }, "decode.vae": { via: [[3, 4]] } });
  const now = renamedNode(start, "", "model", "weights");
  const text = format(now);
  expect(text).not.toContain('"model.');
  expect(at(now, ["inputs", "model"])).toBe("weights.model");
  expect(at(now, ["layout", "weights", "at"])).toEqual([1, 2]);
  expect(Object.keys(at(now, ["nodes"]) as object)[0]).toBe("weights");
  expect(format(renamedNode(now, "", "weights", "model"))).toBe(format(start));
});

test("a removed node takes its links and its names with it", () => {
  const now = removed(load("text_to_image"), "", ["model", "cond"]);
  const text = format(now);
  expect(text).not.toContain("model.");
  expect(text).not.toContain('"cond.prediction"');
  expect(at(now, ["inputs", "model"])).toBeUndefined();
});

test("a removed loop takes its body with it", () => {
  const now = sheet(removed(load("text_to_image"), "", ["denoise"]));
  expect(now?.nodes.has("cond")).toBe(false);
  expect(now?.named["cfg"]).toBeUndefined();
});

test("what is pasted has new ids, its own wires, and those from outside on demand", () => {
  const scene = open("text_to_image");
  const clip = copied(scene, ["decode", "save"], () => [100, 100]);
  if (!clip) throw new Error("nothing was copied");
  const plain = pasted(scene, clip, scene.sheet.root, [500, 600], false);
  expect(plain.ids).toEqual(["decode_2", "save_2"]);
  expect(at(plain.document, ["nodes", "save_2", "inputs", "image"])).toEqual({ link: "decode_2.image" });
  expect(at(plain.document, ["nodes", "decode_2", "inputs", "vae"])).toBeUndefined();
  expect(at(plain.document, ["layout", "decode_2", "at"])).toEqual([500, 600]);
  const wired = pasted(scene, clip, scene.sheet.root, [0, 0], true);
  expect(at(wired.document, ["nodes", "decode_2", "inputs", "vae"])).toEqual({ link: "model.vae" });
});

test("a copied loop keeps what its body is called with, and renames what is in it", () => {
  const found = duplicated(open("text_to_image"), ["denoise"]);
  const body = sheet(found.document)?.nodes.get("denoise_2")?.bodies["body"];
  expect(body?.ids).toEqual(["cond_2", "uncond_2", "guided_2", "next_2"]);
  expect(body?.outputs).toEqual([["latent", "next_2.latent"]]);
  expect(at(found.document, [...(body?.path ?? []), "nodes", "next_2", "inputs", "latent"])).toEqual({ link: "latent" });
});

test("a sub-workflow that is made and unpacked again means the same", () => {
  const scene = open("text_to_image");
  const made = madeSubgraph(scene, ["canvas", "schedule", "noise"], "start");
  if (typeof made === "string") throw new Error(made);
  const outer = of(made.document);
  expect(at(made.document, ["nodes", made.id, "type"])).toBe("graph:start");
  expect(at(made.document, ["inputs", "steps"])).toBe("start.steps");
  expect(outer.typing.outputs.get(made.id)).toMatchObject({ latent: "Latent", timesteps: ["list", "Timestep"] });
  const back = unpacked(outer, made.id);
  if (!back) throw new Error("it was not unpacked");
  const before = sheet(scene.document);
  const after = sheet(back.document);
  for (const [id, node] of before?.nodes ?? []) {
    expect(after?.nodes.get(id)?.inputs, id).toEqual(node.inputs);
  }
  expect(after?.named).toEqual(before?.named);
});

test("a sub-workflow of a loop takes what its body uses from around as inputs", () => {
  const made = madeSubgraph(open("text_to_image"), ["denoise"], "loop");
  if (typeof made === "string") throw new Error(made);
  const inner = sheet(made.document, "loop");
  expect(Object.values(inner?.named ?? {})).toContain("cond.conditioning");
  expect(at(made.document, ["inputs", "cfg"])).toBe(`${made.id}.scale`);
  expect(format(put(made.document, ["graphs"], {}))).not.toContain("guided");
});

test("a node moves into a loop where all that it uses is seen, and out only if nobody inside is left behind", () => {
  const scene = open("text_to_image");
  const body = scene.sheet.nodes.get("denoise")?.bodies["body"];
  if (!body) throw new Error("body");
  const solver = movedInto(scene, ["solver"], body);
  expect(solver).toBe("schedule uses solver.value, and cannot see it there");
  expect(movedInto(scene, ["next"], scene.sheet.root)).toContain("latent");
  expect(movedInto(scene, ["denoise"], body)).toContain("itself");
});

test("an unknown node keeps its values and wires through edits around it", () => {
  const text = '{"format": 1, "nodes": {"a": {"type": "x.y", "inputs": {"v": 1.0, "w": {"link": "b.q"}}, "extra": [1]},' +
    ' "b": {"type": "x.z", "inputs": {}}}}';
  const start = document(text);
  const now = moved(start, of(start).sheet, new Map([["a", [5, 5]]]));
  expect(at(now, ["nodes", "a"])).toBe(at(start, ["nodes", "a"]));
  expect(format(now)).toContain('"v": 1.0, "w": {"link": "b.q"}');
});
