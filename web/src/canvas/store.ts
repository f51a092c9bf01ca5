/** What the canvas knows for the moment: what is dragged, which menu is open. Nothing of it is saved. */
import { create } from "zustand";
import type { Source, Target } from "@/graph/connect";
import type { Graph } from "@/graph/document";
import type { Point } from "@/graph/edit";
import type { Layout } from "@/graph/routes";

/** What the palette was opened for. `at`: on the screen; `place`: on the canvas, in a graph. */
export interface PaletteRequest {
  readonly at: Point;
  readonly mode:
    | {
        readonly kind: "add"; readonly place: Point; readonly graph: Graph; readonly from?: Source; readonly to?: Target;
        /** Show the new node: the place may be beyond what is seen. */
        readonly reveal?: boolean;
      }
    | { readonly kind: "connect"; readonly node: string }
    | { readonly kind: "find" };
}

export interface MenuRequest {
  readonly at: Point;
  readonly on: "node" | "canvas" | "wire" | "extra";
  readonly id: string;
}

/** A wire that did not fit, with what could be done about it. */
export interface Refusal {
  readonly at: Point;
  readonly reason: string;
  readonly converter: string;
  readonly source: Source;
  readonly target: Target;
}

/** The frame over which something is dragged; empty for none. */
export interface Landing {
  readonly at: Point;
  readonly owner: string;
  readonly port: string;
  readonly out: boolean;
  readonly problem: string;
}

export interface CanvasState {
  /** Where things are while they are dragged. */
  readonly drag: ReadonlyMap<string, Point> | null;
  /** Places that were worked out because the file has none, for one sheet of one tab. */
  readonly computed: ReadonlyMap<string, Point>;
  readonly computedFor: string;
  /** What the layout said last: its routes count for nodes that still stand where it put them. */
  readonly laid: Layout;
  readonly wires: ReadonlySet<string>;
  readonly palette: PaletteRequest | null;
  readonly menu: MenuRequest | null;
  readonly refusal: Refusal | null;
  readonly snap: boolean;
  /** The node whose title is being written. */
  readonly renaming: string;
  /** Where what is dragged would go if it were dropped: another graph than its own, or why it cannot go there. */
  readonly landing: Landing | null;
  /** The wire over which a node is held. */
  readonly over: string;
  /** Where the pointer was last, on the canvas. */
  readonly pointer: Point;
}

export const useCanvas = create<CanvasState>()(() => ({
  drag: null,
  computed: new Map(),
  computedFor: "",
  laid: { places: new Map(), routes: new Map() },
  wires: new Set(),
  palette: null,
  menu: null,
  refusal: null,
  snap: false,
  renaming: "",
  landing: null,
  over: "",
  pointer: [0, 0],
}));

/** Close whatever is open. */
export function dismiss(): void {
  useCanvas.setState({ palette: null, menu: null, refusal: null });
}
