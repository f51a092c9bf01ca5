/** Whether the server is there, and what the page knows of its queue and its past runs. */
import { create } from "zustand";
import type { Link } from "@/api/socket";
import type { JobDetail, Queue, Model, Place, Saved } from "@/api/schema";

export interface ServerState {
  /** `closed` before it was ever open is not worth a banner at once. */
  readonly link: Link;
  readonly everOpen: boolean;
  /** The server answers, but it does not know this page: it was started anew, with another token. */
  readonly stranger: boolean;
  readonly line: Queue;
  /** Runs that have ended, newest first, with their outputs. */
  readonly past: readonly JobDetail[];
  /** Where the next page of them begins; null at the end, undefined before the first. */
  readonly cursor: string | null | undefined;
  readonly shelf: readonly Saved[];
  readonly models: readonly Model[] | null;
  /** What is wrong in each tab; absent where it was not asked. */
  readonly problems: Readonly<Record<string, readonly Place[]>>;
}

export const useServer = create<ServerState>()(() => ({
  link: "connecting",
  everOpen: false,
  stranger: false,
  line: { paused: false, waiting: [], running: [], counts: {} },
  past: [],
  cursor: undefined,
  shelf: [],
  models: null,
  problems: {},
}));

/** What is wrong in a tab. */
export function useProblems(tab: string): readonly Place[] | undefined {
  return useServer((state) => state.problems[tab]);
}
