/** Wire types: what fits where, and how a type is called in a sentence. The rules are those of the engine's check. */
import { Exact, isObject, type Json } from "@/graph/json";
import type { TypeRef } from "@/graph/nodetype";

/** Type variables with what they stand for at one node. */
export type Variables = Map<string, TypeRef>;

const PLURALS: Readonly<Record<string, string>> = {
  int: "whole numbers", float: "numbers", bool: "true or false", str: "texts", any: "values",
};
const NAMES: Readonly<Record<string, string>> = {
  int: "a whole number", float: "a number", bool: "true or false", str: "a text", any: "a value",
};
export const PLAIN: ReadonlySet<TypeRef> = new Set(["int", "float", "bool", "str"]);

export function isList(ref: TypeRef): ref is readonly ["list", TypeRef] {
  return typeof ref !== "string";
}

export function isVariable(ref: TypeRef): boolean {
  return typeof ref === "string" && ref.startsWith("~");
}

export function same(a: TypeRef, b: TypeRef): boolean {
  while (isList(a) && isList(b)) [a, b] = [a[1], b[1]];
  return a === b;
}

/** Whether a value of one type may go where the other is wanted; binds type variables. */
export function fits(given: TypeRef, wanted: TypeRef, variables: Variables | null): boolean {
  while (isList(wanted) && isList(given)) [given, wanted] = [given[1], wanted[1]];
  if (same(given, wanted) || given === "any" || wanted === "any") return true;
  if (isList(wanted)) return false;
  if (isVariable(wanted)) {
    if (!variables) return true;
    const known = variables.get(wanted);
    if (known === undefined || known === "any") {
      variables.set(wanted, given);
      return true;
    }
    return fits(given, known, null);
  }
  return given === "int" && wanted === "float";
}

/** A type with its variables filled in, `any` where nothing is known. */
export function apply(ref: TypeRef, variables: Variables): TypeRef {
  if (isList(ref)) return ["list", apply(ref[1], variables)];
  return isVariable(ref) ? (variables.get(ref) ?? "any") : ref;
}

/** The type of a literal, as far as it says it. */
export function literalType(value: Json | undefined): TypeRef {
  if (Array.isArray(value)) return listOf(value.map((item: Json) => literalType(item)));
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string") return "str";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float";
  if (value instanceof Exact) return /[.e]/.test(value.text) ? "float" : "int";
  return isObject(value) ? "any" : "any";
}

/** The type of a list with items of these types; JavaScript writes 1.0 as 1. */
export function listOf(items: readonly TypeRef[]): TypeRef {
  const [first] = items;
  if (first !== undefined && items.every((item) => same(item, first))) return ["list", first];
  const numbers = items.length > 0 && items.every((item) => item === "int" || item === "float");
  return ["list", numbers ? "float" : "any"];
}

/** A type in the words of the editor: `Image`, `list of int`. */
export function show(ref: TypeRef): string {
  return isList(ref) ? `list of ${show(ref[1])}` : ref.replace(/^~/, "");
}

/** A type with its article: `an Image`, `a list of Image`, `a whole number`. */
export function article(ref: TypeRef): string {
  if (isList(ref)) {
    const plural = isList(ref[1]) ? undefined : PLURALS[ref[1]];
    return `a list of ${plural ?? article(ref[1]).replace(/^an? /, "")}`;
  }
  const plain = NAMES[ref];
  if (plain) return plain;
  const name = ref.replace(/^~/, "");
  return `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}

/** The name of the type that a wire is coloured by: a list has the colour of its items. */
export function coreOf(ref: TypeRef): string {
  let core = ref;
  while (isList(core)) core = core[1];
  return core;
}
