/** An item that was typed into a list whose items may be anything: JSON where it is JSON, else a text. */
import type { Json } from "@/graph/json";
import { parse } from "@/graph/parse";

export function readItem(text: string): Json {
  try {
    return parse(text);
  } catch {
    return text;
  }
}
