/** Which widget an input gets: read off its port alone, so that a new node needs no JavaScript. */
import type { Json } from "@/graph/json";
import type { Port } from "@/graph/nodetype";
import { isList, PLAIN } from "@/graph/wire";

export type WidgetKind =
  | "int" | "float" | "slider" | "bool" | "choice" | "text" | "multiline" | "colour" | "seed" | "model" | "image"
  | "mask" | "list" | "none";

const NAMED: ReadonlySet<string> = new Set(["slider", "seed", "multiline", "colour", "model", "image", "mask"]);

/** The widget of an input; "none" where only a wire gives it. */
export function widgetOf(port: Port): WidgetKind {
  if (port.kind === "body" || port.kind === "context") return "none";
  const asked = port.ui?.widget;
  if (asked !== undefined && NAMED.has(asked)) {
    if (asked !== "slider" || port.schema?.minimum !== undefined) return asked as WidgetKind;
  }
  if (isList(port.type)) return literalItems(port) ? "list" : "none";
  if (port.schema?.enum || port.ui?.choices) return "choice";
  if (port.type === "int" || port.type === "float" || port.type === "bool") return port.type;
  return port.type === "str" ? "text" : "none";
}

/** Whether a list can be written out: its items are plain, or of a type that the list decides. */
function literalItems(port: Port): boolean {
  let item = port.type;
  while (isList(item)) item = item[1];
  return PLAIN.has(item) || item === "any" || item.startsWith("~");
}

/** The port of one item of a list, with the list's own hints. */
export function itemPort(port: Port): Port {
  const type = isList(port.type) ? port.type[1] : port.type;
  return {
    name: port.name, type, kind: "value", schema: port.schema?.items ?? {}, ui: port.ui ?? {}, optional: false,
  };
}

/** What an input begins with when the user gives it a value: its default, or the least that is allowed. */
export function initial(port: Port): Json {
  if (port.default !== undefined && port.default !== null) return port.default;
  const kind = widgetOf(port);
  if (kind === "list") return [];
  if (kind === "bool") return false;
  if (kind === "seed") return null;
  if (kind === "int" || kind === "float" || kind === "slider") {
    const least = port.schema?.minimum ?? (port.schema?.exclusiveMinimum ?? -1) + 1;
    return Math.max(0, least);
  }
  if (kind === "choice") return port.schema?.enum?.[0] ?? "";
  return kind === "colour" ? "#808080" : "";
}

/** How many rows of a node a widget takes. */
export function rowsOf(kind: WidgetKind): number {
  if (kind === "multiline") return 3;
  return kind === "image" || kind === "mask" ? 5 : 1;
}
