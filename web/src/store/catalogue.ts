/** The node types and wire types that the server has. Filled once by the client, read by everyone. */
import { create } from "zustand";
import type { NodesAnswer, NodeType, WireType } from "@/graph/nodetype";

export interface CatalogueState {
  readonly ready: boolean;
  readonly types: ReadonlyMap<string, NodeType>;
  readonly wires: ReadonlyMap<string, WireType>;
  readonly problems: NodesAnswer["problems"];
  /** Replace everything by what the server answered. */
  load(answer: NodesAnswer): void;
}

export const useCatalogue = create<CatalogueState>()((set) => ({
  ready: false,
  types: new Map(),
  wires: new Map(),
  problems: [],
  load: (answer) =>
    set({
      ready: true,
      types: new Map(answer.types.map((type) => [type.id, type])),
      wires: new Map(answer.wires.map((wire) => [wire.name, wire])),
      problems: answer.problems,
    }),
}));
