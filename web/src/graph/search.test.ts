import { expect, test } from "vitest";
import { answer } from "@/graph/fixtures/load";
import { entryOf, searched } from "@/graph/search";
import { itemPort, widgetOf } from "@/graph/widget";

const entries = answer.types.map(entryOf);
const find = (query: string) => searched(entries, query).map((entry) => entry.detail);

test("a node is found by its title, its id, its category, its types and what it does", () => {
  expect(find("cfg")[0]).toBe("diffusion.cfg");
  expect(find("vae dec")[0]).toBe("diffusion.vae_decode");
  expect(find("image.save")[0]).toBe("image.save");
  expect(find("Prediction")).toContain("diffusion.cfg");
  expect(find("diffusion noise")).toContain("diffusion.noise");
  expect(find("qqqq")).toEqual([]);
});

test("without a query everything is there", () => {
  expect(find("  ")).toHaveLength(entries.length);
});

test("a widget follows from the port alone", () => {
  const port = (extra: object) => ({ name: "x", kind: "value" as const, type: "str", ...extra });
  expect(widgetOf(port({ type: "int" }))).toBe("int");
  expect(widgetOf(port({ type: "float", schema: { minimum: 0, maximum: 1 }, ui: { widget: "slider" } }))).toBe("slider");
  expect(widgetOf(port({ schema: { enum: ["a"] } }))).toBe("choice");
  expect(widgetOf(port({ ui: { choices: true, widget: "model" } }))).toBe("model");
  expect(widgetOf(port({ ui: { widget: "multiline" } }))).toBe("multiline");
  expect(widgetOf(port({ type: "Teapot" }))).toBe("none");
  expect(widgetOf(port({ type: ["list", "float"] }))).toBe("list");
  expect(widgetOf(port({ type: ["list", "Image"] }))).toBe("none");
  expect(widgetOf(port({ ui: { widget: "not yet known" } }))).toBe("text");
  expect(widgetOf(itemPort(port({ type: ["list", "int"], schema: { items: { minimum: 1 } } })))).toBe("int");
});
