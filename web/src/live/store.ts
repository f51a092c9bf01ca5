/**
 * What a run says of each node: marks, progress, time, pictures. A store of its own, so that one progress
 * event draws one component. Keyed by tab, then by the node's id in the run (`upscale/resize` inside a
 * sub-workflow). Filled from the socket, read by the canvas.
 */
import { create } from "zustand";

export type Mark = "will-run" | "cached" | "running" | "done" | "failed";

export interface NodeLive {
  readonly mark: Mark;
  /** How far it is, out of `total`; 0 of 0 where it does not say. */
  readonly done: number;
  readonly total: number;
  /** Seconds that it took. */
  readonly seconds?: number;
  /** Why it failed. */
  readonly error?: string;
  /** Pictures to show in the node: blob URLs of previews, then URLs of outputs. */
  readonly pictures?: readonly string[];
}

export interface LiveState {
  readonly tabs: Readonly<Record<string, Readonly<Record<string, NodeLive>>>>;
  /** Change what is known of one node. */
  mark(tab: string, node: string, change: Partial<NodeLive>): void;
  /** Replace all that is known in a tab: a new plan, or nothing. */
  reset(tab: string, nodes?: Readonly<Record<string, NodeLive>>): void;
}

const NOTHING: NodeLive = { mark: "will-run", done: 0, total: 0 };

export const useLive = create<LiveState>()((set) => ({
  tabs: {},
  mark: (tab, node, change) =>
    set((state) => {
      const nodes = state.tabs[tab] ?? {};
      const next = { ...NOTHING, ...nodes[node], ...change };
      return { tabs: { ...state.tabs, [tab]: { ...nodes, [node]: next } } };
    }),
  reset: (tab, nodes = {}) => set((state) => ({ tabs: { ...state.tabs, [tab]: nodes } })),
}));

/** What is known of one node of a tab; undefined before any run. */
export function useNodeLive(tab: string, node: string): NodeLive | undefined {
  return useLive((state) => state.tabs[tab]?.[node]);
}
