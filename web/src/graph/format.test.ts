import { readFileSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { format } from "@/graph/format";
import { pythonFloat } from "@/graph/number";
import { NotJson, parse } from "@/graph/parse";

const FOLDER = "../workflows/";
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));

test("every workflow that ships keeps its bytes through reading and writing", () => {
  expect(files.length).toBeGreaterThan(15);
  for (const name of files) {
    const text = readFileSync(FOLDER + name, "utf8");
    expect(format(parse(text)), name).toBe(text);
  }
});

test("a file with everything odd is written as Python writes it", () => {
  const odd = readFileSync("src/graph/fixtures/odd.json", "utf8");
  expect(format(parse(odd))).toBe(readFileSync("src/graph/fixtures/odd.formatted.json", "utf8"));
});

test("a float has the digits that Python gives it", () => {
  const cases: [number, string][] = [
    [5, "5.0"], [0.1, "0.1"], [1e-4, "0.0001"], [1e-5, "1e-05"], [1.5e-7, "1.5e-07"], [1e15, "1000000000000000.0"],
    [1e16, "1e+16"], [1.25e22, "1.25e+22"], [-0, "-0.0"], [-123.456, "-123.456"], [1e100, "1e+100"],
  ];
  for (const [value, text] of cases) expect(pythonFloat(value)).toBe(text);
});

test("keys that JavaScript would move keep their places", () => {
  const text = '{\n  "nodes": {\n    "b": {"2": 1, "1": 2, "__proto__": 3, "a": 4}\n  }\n}\n';
  expect(format(parse(text))).toBe(text);
});

test("what is no JSON is told with its place", () => {
  expect(() => parse('{"a": 1,\n "a": 2}')).toThrow(new NotJson('the key "a" is there twice; keep one', 2, 2));
  expect(() => parse('{"a": NaN}')).toThrow(NotJson);
  expect(() => parse('{"a": 1e999}')).toThrow(NotJson);
  expect(() => parse('{"a": 1} x')).toThrow(NotJson);
  expect(() => parse("[".repeat(600))).toThrow(NotJson);
});
