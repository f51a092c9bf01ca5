/**
 * Which run belongs to which tab, and what its events mean for the nodes of that tab.
 *
 * A tab shows the run that began last. Marks are written in one go for all events of a frame, and each node on the
 * canvas reads its own.
 */
import { create } from "zustand";
import type { Entry, RunEvent } from "@/api/event";
import type { Output, Planned } from "@/api/schema";
import { forgetPictures, pictureOf } from "@/live/pictures";
import { useLive, type NodeLive } from "@/live/store";

export interface Run {
  readonly tab: string;
  readonly job: string;
  readonly state: "queued" | "running" | "done" | "failed" | "cancelled";
  /** When it was given to the server, for the order. */
  readonly asked: number;
  /** The nodes outside of loops that run, and how many of them are through. */
  readonly steps: ReadonlySet<string>;
  readonly through: number;
  /** How far the node is that said so last: a loop in its rounds; 0 of 0 where none did. */
  readonly done: number;
  readonly total: number;
  readonly error: string;
  /** Which node gave the file of a name. */
  readonly files: Readonly<Record<string, string>>;
}

export interface RunState {
  /** Every run that this page has asked for, by its job. */
  readonly runs: Readonly<Record<string, Run>>;
  /** The run that each tab shows. */
  readonly shown: Readonly<Record<string, string>>;
  /** How many runs are being asked for, and what was told meanwhile of runs that this page does not know (yet). */
  readonly asking: number;
  readonly early: readonly Entry[];
  /** A run is asked for: its events may come before its id does. `answered` says that the id is here, or never comes. */
  ask(): void;
  answered(): void;
  begin(tab: string, job: string): void;
  forgetTab(tab: string): void;
  restore(runs: readonly Pick<Run, "tab" | "job" | "asked">[]): void;
  /** What happened, in order. */
  apply(entries: readonly Entry[]): void;
  /** A run has ended with these files. */
  outputs(job: string, outputs: readonly Output[]): void;
}

const NOTHING: NodeLive = { mark: "will-run", done: 0, total: 0 };
const FRESH = { state: "queued", steps: new Set<string>(), through: 0, done: 0, total: 0, error: "", files: {} } as const;
/** How many runs are remembered. */
const KEPT = 200;

export const useRuns = create<RunState>()((set, get) => ({
  runs: {},
  shown: {},
  asking: 0,
  early: [],
  ask: () => set(({ asking }) => ({ asking: asking + 1 })),
  answered: () => set(({ asking, early }) => ({ asking: asking - 1, early: asking > 1 ? early : [] })),
  begin: (tab, job) => {
    set((state) => {
      const runs = newest({ ...state.runs, [job]: { ...FRESH, ...state.runs[job], tab, job, asked: Date.now() } });
      const now = state.runs[state.shown[tab] ?? ""];
      const idle = !now || ended(now.state);
      return { runs, shown: idle ? { ...state.shown, [tab]: job } : state.shown };
    });
    get().apply(get().early.filter((entry) => entry.job === job));
  },
  forgetTab: (tab) => {
    set((state) => ({
      runs: Object.fromEntries(Object.entries(state.runs).filter(([, run]) => run.tab !== tab)),
      shown: Object.fromEntries(Object.entries(state.shown).filter(([key]) => key !== tab)),
    }));
    forgetPictures(tab);
    useLive.getState().reset(tab);
  },
  restore: (found) =>
    set(() => {
      const runs = newest(Object.fromEntries(found.map((run) => [run.job, { ...FRESH, ...run }])));
      const shown: Record<string, string> = {};
      for (const run of Object.values(runs).sort((a, b) => a.asked - b.asked)) shown[run.tab] = run.job;
      return { runs, shown };
    }),
  apply: (entries) => {
    const runs = { ...get().runs };
    const shown = { ...get().shown };
    const marks = new Map<string, Record<string, NodeLive>>();
    if (get().asking) {
      const early = entries.filter(({ job }) => !runs[job]);
      if (early.length) set((state) => ({ early: [...state.early, ...early] }));
    }
    for (const { job, event } of entries) {
      const run = runs[job];
      if (!run) continue;
      const next = after(run, event);
      if (next !== run) runs[job] = next;
      if (event.event === "run_planned") {
        const before = run.steps.size ? marks.get(run.tab) : undefined; // a long plan comes in parts
        shown[run.tab] = job;
        marks.set(run.tab, { ...before, ...planned(run.tab, event) });
      }
      if (shown[run.tab] !== job) continue;
      const change = changes(event);
      if (!change) continue;
      let nodes = marks.get(run.tab);
      if (!nodes) marks.set(run.tab, (nodes = { ...useLive.getState().tabs[run.tab] }));
      nodes[change.node] = { ...NOTHING, ...nodes[change.node], ...change.to };
    }
    set({ runs, shown });
    if (marks.size) useLive.setState((state) => ({ tabs: { ...state.tabs, ...Object.fromEntries(marks) } }));
  },
  outputs: (job, outputs) => {
    const run = get().runs[job];
    if (!run || get().shown[run.tab] !== job) return;
    const pictures = new Map<string, string[]>();
    for (const output of outputs) {
      const node = run.files[output.name];
      if (node && output.media.startsWith("image/")) pictures.set(node, [...(pictures.get(node) ?? []), output.url]);
    }
    for (const [node, urls] of pictures) {
      const mark = useLive.getState().tabs[run.tab]?.[node]?.mark ?? "done";
      useLive.getState().mark(run.tab, node, { mark, pictures: urls });
    }
  },
}));

/** Whether a run is over. */
export function ended(state: string): boolean {
  return state === "done" || state === "failed" || state === "cancelled";
}

/** The run that a tab shows; undefined before any. */
export function useShownRun(tab: string): Run | undefined {
  return useRuns((state) => state.runs[state.shown[tab] ?? ""]);
}

/** The marks of a plan, with the pictures and times of the run before. */
export function planned(tab: string, plan: Planned): Record<string, NodeLive> {
  const before = useLive.getState().tabs[tab] ?? {};
  const found: Record<string, NodeLive> = {};
  const add = (ids: readonly string[], mark: NodeLive["mark"]) => {
    for (const id of ids) {
      const { pictures, seconds } = before[id] ?? {};
      found[id] = {
        mark, done: 0, total: 0,
        ...(pictures ? { pictures } : {}),
        ...(seconds === undefined ? {} : { seconds }),
      };
    }
  };
  add(plan.steps, "will-run");
  add(plan.cached, "cached");
  return found;
}

/** A run after an event. */
export function after(run: Run, event: RunEvent): Run {
  switch (event.event) {
    case "job":
      if (event.state === "cancelling" || event.state === "removed") return run;
      return event.state === "running"
        ? { ...run, ...FRESH, state: "running" }
        : { ...run, state: event.state, error: event.error ?? "" };
    case "run_planned":
      return { ...run, state: "running", steps: new Set([...run.steps, ...event.steps]) };
    case "node_progress":
      return run.steps.has(event.node) ? { ...run, done: event.done, total: event.total } : run;
    case "node_finished":
    case "node_failed":
      return run.steps.has(event.node) ? { ...run, through: run.through + 1, done: 0, total: 0 } : run;
    case "node_output":
      return { ...run, files: { ...run.files, [event.name]: event.node } };
    default:
      return run;
  }
}

/** What an event changes at a node. */
export function changes(event: RunEvent): { readonly node: string; readonly to: Partial<NodeLive> } | null {
  switch (event.event) {
    case "node_started":
      return { node: event.node, to: { mark: "running", done: 0, total: 0 } };
    case "node_progress":
      return { node: event.node, to: { mark: "running", done: event.done, total: event.total } };
    case "node_finished":
      return { node: event.node, to: { mark: "done", seconds: event.seconds } };
    case "node_cached":
      return { node: event.node, to: { mark: "cached" } };
    case "node_failed":
      return { node: event.node, to: { mark: "failed", error: event.error } };
    default:
      return null;
  }
}

/** A picture came for a node of a run. */
export function showPreview(job: string, node: string, image: Blob): void {
  const { runs, shown } = useRuns.getState();
  const run = runs[job];
  if (!run || shown[run.tab] !== job) return;
  const mark = useLive.getState().tabs[run.tab]?.[node]?.mark ?? "running";
  useLive.getState().mark(run.tab, node, { mark, pictures: [pictureOf(run.tab, node, image)] });
}

function newest(runs: Readonly<Record<string, Run>>): Record<string, Run> {
  const rows = Object.values(runs).sort((a, b) => b.asked - a.asked).slice(0, KEPT);
  return Object.fromEntries(rows.map((run) => [run.job, run]));
}
