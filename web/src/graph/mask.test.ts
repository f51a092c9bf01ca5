import { describe, expect, it } from "vitest";
import { sheet } from "@/graph/document";
import { backdrops, isMask, picturesAt } from "@/graph/mask";
import type { NodeType } from "@/graph/nodetype";

const type = (id: string, inputs: NodeType["inputs"], outputs: NodeType["outputs"]): NodeType =>
  ({ id, title: id, category: "", doc: "", version: 1, aliases: [], deprecated: "", experimental: false, inputs, outputs });
const path = { name: "path", type: "str", kind: "value", ui: { widget: "image" } } as const;
const types = new Map([
  type("load", [path], { image: "Image", mask: "Mask" }),
  type("cut", [{ name: "image", type: "Image", kind: "value" }], { mask: "Mask" }),
  type("paint", [], { image: "Image" }),
].map((kind) => [kind.id, kind]));

const link = (text: string) => ({ link: text });
const document = {
  format: 1,
  nodes: {
    other: { type: "load", inputs: { path: "other.png" } },
    picture: { type: "load", inputs: { path: "picture.png" } },
    drawn: { type: "load", inputs: { path: "mask.png" } },
    mask: { type: "cut", inputs: { image: link("drawn.image") } },
    loop: {
      type: "fold",
      inputs: {
        start: link("picture.image"),
        body: {
          graph: {
            inputs: ["value"], outputs: { value: "inner.image" },
            nodes: { inner: { type: "paint", inputs: { image: link("value"), mask: link("mask.mask") } } },
          },
        },
      },
    },
    result: { type: "paint", inputs: { image: link("loop.result"), mask: link("mask.mask") } },
  },
};

describe("a mask", () => {
  const found = sheet(document);
  if (!found) throw new Error("a document is a sheet");
  it("is what only nodes that make masks read", () => {
    expect(isMask(found, types, "drawn")).toBe(true);
    expect(isMask(found, types, "picture")).toBe(false);
    expect(isMask(found, types, "other")).toBe(false);
  });
  it("is painted over the picture that meets it, in a loop too, and not over what is made with it", () => {
    expect(backdrops(found, "drawn")).toEqual(["drawn", "picture", "other"]);
  });
  it("has pictures to be painted over where their names are written", () => {
    const node = found.nodes.get("picture");
    expect(node && picturesAt(node, types)).toEqual(["picture.png"]);
    const linked = found.nodes.get("mask");
    expect(linked && picturesAt(linked, types)).toEqual([]);
  });
});
