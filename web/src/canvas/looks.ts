/** How a wire type looks: its colour, and a shape for those who do not see colour. Both follow from the catalogue. */
import type { TypeRef, WireType } from "@/graph/nodetype";
import { coreOf, isList } from "@/graph/wire";

export type Sign = "circle" | "square" | "diamond" | "triangle" | "hexagon" | "star" | "cross" | "drop";

const SIGNS: readonly Sign[] = ["circle", "square", "triangle", "hexagon", "star", "cross", "drop"];
const PLAIN: Readonly<Record<string, string>> = { int: "#8fb4d9", float: "#7fcdbb", bool: "#d9a6c2", str: "#c9b98a" };
const GREY = "#98a1b0";

export interface Look {
  readonly colour: string;
  readonly sign: Sign;
  readonly list: boolean;
  /** Nothing is known of it: anything fits. */
  readonly open: boolean;
}

/** The look of a type. */
export function lookOf(type: TypeRef, wires: ReadonlyMap<string, WireType>): Look {
  const core = coreOf(type);
  const list = isList(type);
  const wire = wires.get(core);
  if (wire) {
    const at = [...wires.keys()].indexOf(core);
    return { colour: wire.colour, sign: SIGNS[at % SIGNS.length] ?? "circle", list, open: false };
  }
  const plain = PLAIN[core];
  return { colour: plain ?? GREY, sign: plain ? "diamond" : "circle", list, open: plain === undefined };
}
