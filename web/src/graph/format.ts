/**
 * The one text that a workflow has, the same to the byte as `graphengine format` writes.
 *
 * Known fields stand in a fixed order; nodes, inputs, names and unknown fields stay in the user's. A node has
 * one line, or a line for each of its inputs where it does not fit on one; with a body it is always spread out.
 */
import { Exact, isObject, type Json, type JsonObject } from "@/graph/json";
import { pythonFloat } from "@/graph/number";
import { outer } from "@/graph/parse";

const WIDTH = 110;
const NARROW = 40;

const FIELDS: Readonly<Record<string, readonly string[]>> = {
  file: ["format", "name", "description", "requires", "inputs", "outputs", "nodes", "graphs", "layout"],
  graph: ["name", "description", "inputs", "outputs", "nodes", "layout"],
  body: ["inputs", "outputs", "nodes"],
  node: ["type", "version", "title", "note", "state", "inputs"],
};
const INSIDE: Readonly<Record<string, string>> = {
  "file nodes": "nodes",
  "file graphs": "graphs",
  "file layout": "layout",
  "graph nodes": "nodes",
  "graph layout": "layout",
  "body nodes": "nodes",
  "node inputs": "inputs",
};
const EACH: Readonly<Record<string, string>> = { nodes: "node", graphs: "graph", inputs: "input" };
const SPREAD = new Set(["file", "nodes", "graphs", "graph", "body", "inputs", "layout"]);

/** The text of a workflow's data. */
export function format(data: Json): string {
  const parts: string[] = [];
  write(parts, "", data, "file", "", "");
  return parts.join("") + "\n";
}

function write(parts: string[], start: string, given: Json, kind: string, indent: string, end: string): void {
  let [lead, value, place, tail] = [start, given, kind, end];
  if (place === "input" && isObject(value) && hasBody(value)) {
    [lead, value, place, tail] = [`${lead}{"graph": `, value["graph"] as JsonObject, "body", `}${tail}`];
  }
  const fields = FIELDS[place];
  if (fields && isObject(value)) value = ordered(value, fields);
  const room = Math.max(WIDTH - letters(lead), NARROW);
  const whole = !empty(value) && spread(value, place) ? null : line(value, room);
  if (whole !== null) {
    parts.push(lead, whole, tail);
    return;
  }
  const deeper = `${indent}  `;
  const object = isObject(value);
  parts.push(lead, object ? "{" : "[");
  const rows: [string, Json, string][] = object
    ? Object.entries(value as JsonObject).map(([key, item]) =>
        [`\n${deeper}${quoted(outer(key))}: `, item, EACH[place] ?? INSIDE[`${place} ${key}`] ?? ""])
    : (value as readonly Json[]).map((item) => [`\n${deeper}`, item, ""]);
  rows.forEach(([lead, item, place], i) => {
    write(parts, lead, item, place, deeper, i < rows.length - 1 ? "," : "");
  });
  parts.push(`\n${indent}${object ? "}" : "]"}${tail}`);
}

function hasBody(value: JsonObject): boolean {
  return isObject(value["graph"]) && Object.keys(value).length === 1;
}

function ordered(value: JsonObject, fields: readonly string[]): JsonObject {
  const first = fields.filter((name) => Object.hasOwn(value, name)).map((name) => [name, value[name] as Json]);
  return { ...(Object.fromEntries(first) as JsonObject), ...value };
}

function empty(value: Json): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}

function spread(value: Json, place: string): boolean {
  if (!isObject(value)) return false;
  if (place !== "node") return SPREAD.has(place);
  const inputs = value["inputs"];
  return isObject(inputs) && Object.values(inputs).some((input) => isObject(input) && hasBody(input));
}

/** A value on one line; null where a list or an object needs more columns than there are. */
function line(value: Json, room: number): string | null {
  if (empty(value) || typeof value !== "object" || value === null || value instanceof Exact) return encode(value);
  const parts: string[] = [];
  let used = 0;
  const add = (text: string): boolean => {
    used += letters(text);
    parts.push(text);
    return used <= room;
  };
  const walk = (value: Json): boolean => {
    if (Array.isArray(value)) {
      if (!add("[")) return false;
      return value.every((item: Json, i) => (i === 0 || add(", ")) && walk(item)) && add("]");
    }
    if (!isObject(value)) return add(encode(value));
    if (!add("{")) return false;
    return Object.entries(value).every(([key, item], i) =>
      (i === 0 || add(", ")) && add(`${quoted(outer(key))}: `) && walk(item)) && add("}");
  };
  return walk(value) ? parts.join("") : null;
}

/** How many characters a text has, as people count them. */
function letters(text: string): number {
  let pairs = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0xd800 && code < 0xdc00) pairs++;
  }
  return text.length - pairs;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

function encode(value: Json): string {
  if (typeof value === "string") return quoted(value);
  if (typeof value === "number") return Number.isInteger(value) ? whole(value) : pythonFloat(value);
  if (value instanceof Exact) return value.text;
  if (Array.isArray(value)) return "[]";
  if (isObject(value)) return "{}";
  return JSON.stringify(value);
}

function whole(value: number): string {
  return Number.isSafeInteger(value) ? String(value || 0) : BigInt(value).toString();
}
