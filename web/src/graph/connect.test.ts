import { expect, test } from "vitest";
import {
  between, connected, entryFor, filled, fit, insertedOn, sourcesFor, targetsFor, typesGiving, typesTaking, withBetween, type Source,
} from "@/graph/connect";
import { at, chain, put } from "@/graph/document";
import { fresh, withNode } from "@/graph/edit";
import { of, open, types } from "@/graph/fixtures/load";

const scene = open("text_to_image");
const root = scene.sheet.root;
const body = scene.sheet.nodes.get("denoise")?.bodies["body"] ?? root;
const from = (link: string, home = root): Source => ({ link, home });

test("a wire that fits is taken", () => {
  expect(fit(scene, from("model.vae"), { node: "decode", input: "vae" }).ok).toBe(true);
  expect(fit(scene, from("latent", body), { node: "next", input: "latent" }).ok).toBe(true);
});

test("a wire that does not fit is refused with the types and with what could stand between", () => {
  const found = fit(scene, from("noise.latent"), { node: "save", input: "image" });
  expect(found.ok).toBe(false);
  expect(found.reason).toBe("save.image wants an Image, but noise.latent is a Latent; put VAE Decode between");
  expect(types.has(found.converter)).toBe(true);
});

test("a cycle is refused, through a loop too", () => {
  expect(fit(scene, from("decode.image"), { node: "decode", input: "vae" }).reason).toContain("itself");
  expect(fit(scene, from("denoise.result"), { node: "noise", input: "denoiser" }).reason).toBe("that would be a cycle: denoise needs noise");
  expect(fit(scene, from("denoise.result"), { node: "next", input: "latent" }).reason).toBe("that would be a cycle: denoise needs next");
});

test("what is inside a body cannot be used outside of it", () => {
  expect(fit(scene, from("next.latent", body), { node: "decode", input: "latent" }).reason).toContain("inside another body");
});

test("a body's result must be what is carried", () => {
  expect(fit(scene, from("next.latent", body), { node: "denoise", input: "latent", body: "body" }).ok).toBe(true);
  const wrong = fit(scene, from("guided.prediction", body), { node: "denoise", input: "latent", body: "body" });
  expect(wrong.reason).toContain("wants a Latent");
});

test("an item goes into a list beside the others", () => {
  const kind = types.get("image.batch");
  if (!kind) throw new Error("image.batch");
  let document = withNode(scene.document, root, "batch", fresh(kind));
  for (const link of ["decode.image", "decode.image"]) {
    expect(fit(of(document), from(link), { node: "batch", input: "images" })).toMatchObject({ ok: true, append: true });
    document = connected(of(document), from(link), { node: "batch", input: "images" });
  }
  expect(at(document, ["nodes", "batch", "inputs", "images"])).toEqual([{ link: "decode.image" }, { link: "decode.image" }]);
});

test("the converter is put between and gets what else it needs where only one thing fits", () => {
  expect(between(types, "Image", "Latent", scene, root)).toBe("diffusion.vae_encode");
  expect(between(types, "Image", "VAE")).toBe("");
  const found = withBetween(scene, "diffusion.vae_decode", from("noise.latent"), { node: "save", input: "image" }, [10, 20]);
  expect(found?.id).toBe("vae_decode");
  expect(at(found?.document, ["nodes", "vae_decode", "inputs", "latent"])).toEqual({ link: "noise.latent" });
  expect(at(found?.document, ["nodes", "vae_decode", "inputs", "vae"])).toEqual({ link: "model.vae" });
  expect(at(found?.document, ["nodes", "save", "inputs", "image"])).toEqual({ link: "vae_decode.image" });
});

test("connect lists just what fits", () => {
  const links = sourcesFor(scene, { node: "next", input: "prediction" }).map((offer) => offer.source.link);
  expect(links.sort()).toEqual(["cond.prediction", "guided.prediction", "uncond.prediction"]);
  const inside = targetsFor(scene, from("model.vae")).map((offer) => `${offer.target.node}.${offer.target.input}`);
  expect(inside[0]).toBe("decode.vae");
  expect(inside).not.toContain("decode.latent");
});

test("the palette offers types that take or give what is wanted, the exact ones first", () => {
  expect(typesTaking(types, "Prediction").map((kind) => kind.id)).toContain("diffusion.cfg");
  const takers = typesTaking(types, "VAE");
  const exact = takers.map((kind) => kind.inputs.some((port) => port.type === "VAE"));
  expect(exact[0]).toBe(true);
  expect(exact.lastIndexOf(true)).toBe(exact.filter(Boolean).length - 1);
  expect(takers.map((kind) => kind.id)).not.toContain("image.blur");
  expect(typesGiving(types, "Denoiser")[0]?.outputs["denoiser"]).toBe("Denoiser");
});

test("a node dropped on a wire stands between its ends", () => {
  const kind = types.get("image.blur");
  if (!kind) throw new Error("image.blur");
  const now = of(withNode(scene.document, root, "blur", fresh(kind)));
  const document = insertedOn(now, "blur", from("decode.image"), { node: "save", input: "image" });
  expect(at(document, ["nodes", "save", "inputs", "image"])).toEqual({ link: "blur.image" });
  expect(at(document, ["nodes", "blur", "inputs", "image"])).toEqual({ link: "decode.image" });
});

test("a new guidance node in the loop finds its inputs by type", () => {
  const kind = types.get("diffusion.cfg");
  if (!kind) throw new Error("cfg");
  const now = of(withNode(scene.document, body, "again", fresh(kind)));
  expect(chain(now.sheet.nodes.get("again")?.graph ?? root)).toHaveLength(2);
  expect(entryFor(now, "again", from("guided.prediction", body))).toEqual({ node: "again", input: "cond" });
  expect(filled(now, "again")).toBe(now.document); // three predictions fit, so none is chosen
});

test("an unknown node type takes no new wires and says why", () => {
  const odd = of(put(scene.document, ["nodes", "odd"], { type: "no.such", inputs: {} }));
  expect(fit(odd, from("model.vae"), { node: "odd", input: "x" }).reason).toContain("no.such");
});
