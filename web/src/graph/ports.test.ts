import { expect, test } from "vitest";
import { withPort } from "@/graph/ports";

const document = {
  format: 1,
  inputs: { across: "a.side" },
  outputs: { picture: "a.plain" },
  nodes: {
    a: { type: "graph:box", inputs: { side: 4 } },
    loop: {
      type: "flow.map",
      inputs: {
        body: {
          graph: {
            inputs: ["value"], outputs: { value: "b.plain" },
            nodes: { b: { type: "graph:box", inputs: { side: { link: "value" } } } },
          },
        },
      },
    },
    other: { type: "image.size", inputs: { image: { link: "a.plain" }, side: 1 } },
  },
  graphs: {
    box: { inputs: { width: "solid.width" }, outputs: { plain: "solid.image" }, nodes: {} },
    twice: { nodes: { c: { type: "graph:box", inputs: { side: 2 } } } },
  },
};

test("an input of a sub-workflow is called otherwise wherever the sub-workflow runs", () => {
  const now = JSON.stringify(withPort(document, "box", "inputs", "side", "width"));
  const wanted = JSON.stringify(document)
    .replaceAll('"graph:box","inputs":{"side"', '"graph:box","inputs":{"width"').replace("a.side", "a.width");
  expect(now).toBe(wanted);
});

test("an input that is gone takes along what is written there, and the name that led to it", () => {
  const now = withPort(document, "box", "inputs", "side", undefined);
  expect(JSON.stringify(now)).not.toContain("a.side");
  expect(now["nodes"]).toMatchObject({ a: { inputs: {} }, other: { inputs: { side: 1 } } });
});

test("links to an output follow its name", () => {
  const now = JSON.stringify(withPort(document, "box", "outputs", "plain", "drawn"));
  expect(now).toBe(JSON.stringify(document).replaceAll("a.plain", "a.drawn").replaceAll("b.plain", "b.drawn"));
});

test("the file's own names belong to no node", () => {
  expect(withPort(document, "", "inputs", "across", "wide")).toBe(document);
});
