/** Watching the open workflows: what is wrong with each, and what a run would do, asked for after each change. */
import * as client from "@/api/client";
import { NoAnswer, Refusal } from "@/api/request";
import { useServer } from "@/live/link";
import { ended, planned, useRuns } from "@/live/runs";
import { useLive } from "@/live/store";
import { useCatalogue } from "@/store/catalogue";
import { activeTab, untouched, useEditor } from "@/store/editor";
import type { Document } from "@/graph/document";

/** After which pause, in milliseconds. */
const PAUSE = 300;

/** Watch the active tab until the returned function is called. */
export function watch(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asking: AbortController | null = null;
  let seen: Document | null = null;

  const look = async () => {
    const tab = activeTab();
    seen = tab.document;
    if (untouched(tab)) {
      useServer.setState((state) => ({ problems: { ...state.problems, [tab.id]: [] } }));
      return;
    }
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    try {
      const problems = await client.check(tab.document, signal);
      useServer.setState((state) => ({ problems: { ...state.problems, [tab.id]: problems } }));
      if (problems.length || runs(tab.id)) return;
      const plan = await client.plan(tab.document, signal);
      if (!runs(tab.id)) useLive.getState().reset(tab.id, planned(tab.id, plan));
    } catch (error) {
      if (error instanceof Refusal && error.problems.length) {
        useServer.setState((state) => ({ problems: { ...state.problems, [tab.id]: error.problems } }));
      } else if (error instanceof NoAnswer) seen = null;
    }
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => void look(), PAUSE);
  };
  const stops = [
    useEditor.subscribe((state, before) => {
      if (state.active !== before.active || activeTab(state).document !== seen) later();
    }),
    useServer.subscribe((state, before) => {
      if (state.link === "open" && before.link !== "open") later();
    }),
    useCatalogue.subscribe(later),
  ];
  later();
  return () => {
    clearTimeout(timer);
    asking?.abort();
    for (const stop of stops) stop();
  };
}

/** Whether a run of a tab is under way; its own marks stay then. */
function runs(tab: string): boolean {
  const { runs, shown } = useRuns.getState();
  const run = runs[shown[tab] ?? ""];
  return run !== undefined && !ended(run.state);
}
