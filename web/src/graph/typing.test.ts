import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { names, open } from "@/graph/fixtures/load";
import type { TypeRef } from "@/graph/nodetype";
import { apply, article, fits, literalType, listOf } from "@/graph/wire";
import { Exact } from "@/graph/json";

const expected = JSON.parse(readFileSync("src/graph/fixtures/typing.json", "utf8")) as
  Record<string, Record<string, Record<string, TypeRef>>>;

test("every output of every shipped workflow has the type that the engine's check gives it", () => {
  for (const name of names) {
    const { typing } = open(name);
    const found = Object.fromEntries(typing.outputs);
    expect(found, name).toEqual(expected[name]);
  }
});

test("a whole number goes where a float is wanted, and not the other way", () => {
  expect(fits("int", "float", null)).toBe(true);
  expect(fits("float", "int", null)).toBe(false);
});

test("a list does not fit a single value, and lists fit by their items", () => {
  expect(fits(["list", "Image"], "Image", null)).toBe(false);
  expect(fits("Image", ["list", "Image"], null)).toBe(false);
  expect(fits(["list", "int"], ["list", "float"], null)).toBe(true);
});

test("a type variable stands for what it met first", () => {
  const variables = new Map<string, TypeRef>();
  expect(fits("Latent", "~T", variables)).toBe(true);
  expect(fits("Image", "~T", variables)).toBe(false);
  expect(apply(["list", "~T"], variables)).toEqual(["list", "Latent"]);
  expect(apply("~S", variables)).toBe("any");
});

test("a literal says its type, and 5.0 is a float", () => {
  expect(literalType(new Exact("5.0", 5))).toBe("float");
  expect(literalType(5)).toBe("int");
  expect(literalType([1, 2.5])).toEqual(["list", "float"]);
  expect(listOf(["int", "str"])).toEqual(["list", "any"]);
});

test("types are named as the engine names them", () => {
  expect(article("Image")).toBe("an Image");
  expect(article("VAE")).toBe("a VAE");
  expect(article(["list", "Image"])).toBe("a list of Image");
  expect(article(["list", "float"])).toBe("a list of numbers");
  expect(article("int")).toBe("a whole number");
});
