/** Reading JSON text without losing anything; see `json`. */
import { Exact, type Json, type JsonObject } from "@/graph/json";
import { pythonFloat } from "@/graph/number";

/** Text that is no JSON, with the place and what is wrong there. */
export class NotJson extends Error {
  constructor(
    readonly text: string,
    readonly line: number,
    readonly column: number,
  ) {
    super(`line ${line}, column ${column}: ${text}`);
  }
}

/** How deep brackets may nest. */
const DEPTH = 500;
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const SPACE = /[ \t\n\r]*/y;
// eslint-disable-next-line no-control-regex -- JSON forbids them in texts
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS: readonly [string, Json][] = [["null", null], ["true", true], ["false", false]];

/** The data of a JSON text. */
export function parse(source: string): Json {
  const text = source.startsWith("\ufeff") ? source.slice(1) : source;
  let place = 0;

  const fail = (why: string, where = place): never => {
    const before = text.slice(0, where).split("\n");
    throw new NotJson(why, before.length, (before.at(-1)?.length ?? 0) + 1);
  };
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = place;
    const found = pattern.exec(text);
    if (!found) return null;
    place = pattern.lastIndex;
    return found[0];
  };
  const string = (): string => {
    const found = match(STRING);
    if (found === null) return fail("a text in double quotes belongs here");
    return found.includes("\\") ? (JSON.parse(found) as string) : found.slice(1, -1);
  };
  const value = (depth: number): Json => {
    if (depth > DEPTH) return fail("brackets are nested too deeply to be a workflow");
    match(SPACE);
    const first = text[place];
    if (first === "{") return object(depth);
    if (first === "[") return list(depth);
    if (first === '"') return string();
    for (const [word, meaning] of WORDS) {
      if (text.startsWith(word, place)) {
        place += word.length;
        return meaning;
      }
    }
    const start = place;
    NUMBER.lastIndex = place;
    const found = NUMBER.exec(text);
    if (!found) return fail("a value belongs here");
    place = NUMBER.lastIndex;
    const number = Number(found[0]);
    if (!Number.isFinite(number)) return fail("the number is too large", start);
    if (found[1] !== undefined || found[2] !== undefined) {
      return Number.isInteger(number) ? new Exact(pythonFloat(number), number) : number;
    }
    return Number.isSafeInteger(number) ? number + 0 || 0 : new Exact(found[0], number);
  };
  const object = (depth: number): JsonObject => {
    const found: Record<string, Json> = {};
    place += 1;
    match(SPACE);
    if (text[place] === "}") {
      place += 1;
      return found;
    }
    for (;;) {
      match(SPACE);
      const start = place;
      const key = inner(string());
      if (Object.hasOwn(found, key)) fail(`the key "${key}" is there twice; keep one`, start);
      match(SPACE);
      if (text[place] !== ":") fail("a colon belongs here");
      place += 1;
      found[key] = value(depth + 1);
      match(SPACE);
      const next = text[place];
      if (next !== "," && next !== "}") fail("a comma or } belongs here");
      place += 1;
      if (next === "}") return found;
    }
  };
  const list = (depth: number): Json[] => {
    const found: Json[] = [];
    place += 1;
    match(SPACE);
    if (text[place] === "]") {
      place += 1;
      return found;
    }
    for (;;) {
      found.push(value(depth + 1));
      match(SPACE);
      const next = text[place];
      if (next !== "," && next !== "]") fail("a comma or ] belongs here");
      place += 1;
      if (next === "]") return found;
    }
  };

  const found = value(0);
  match(SPACE);
  if (place < text.length) fail("nothing more belongs here");
  return found;
}

const MOVED = /^(?:\0|0$|[1-9]\d*$|__proto__$)/;

/** A key as it is kept: JavaScript would move "1" to the front and take "__proto__" for something else. */
export function inner(key: string): string {
  return MOVED.test(key) ? `\0${key}` : key;
}

/** A kept key as it stands in the file. */
export function outer(key: string): string {
  return key.startsWith("\0") ? key.slice(1) : key;
}
