/** Follow the server: the socket's events go to the nodes, and what they make stale is asked for anew. */
import * as client from "@/api/client";
import { data, Refusal } from "@/api/request";
import type { Entry } from "@/api/event";
import type { JobDetail } from "@/api/schema";
import { EventSocket } from "@/api/socket";
import { useServer } from "@/live/link";
import { ended, showPreview, useRuns } from "@/live/runs";
import { attempt, refreshLine, refreshOutputs, refreshPast, refreshTypes, soon } from "@/session/refresh";

interface Told {
  readonly events: readonly Entry[];
  readonly last: number;
}

/** Connect until the returned function is called. */
export function follow(): () => void {
  const line = soon(refreshLine);
  const past = soon(refreshPast, 150);
  const socket = new EventSocket({
    events: (entries) => {
      useRuns.getState().apply(entries);
      for (const { job, event } of entries) {
        if (event.event !== "job") continue;
        line();
        if (event.state === "removed") {
          useServer.setState((state) => ({ past: state.past.filter((other) => other.id !== job) }));
        }
        if (ended(event.state)) {
          past();
          if (useRuns.getState().runs[job]) attempt(refreshOutputs(job));
        }
      }
    },
    preview: ({ job, node, image }) => showPreview(job, node, image),
    lost: () => void replay(),
    nodes: () => attempt(refreshTypes()),
    link: (link) => {
      useServer.setState((state) => ({ link, everOpen: state.everOpen || link === "open" }));
      if (link === "open") {
        useServer.setState({ stranger: false });
        line();
        past();
      } else if (link === "closed") void known();
    },
  });
  attempt(replay().finally(() => socket.start()));
  return () => socket.stop();
}

/**
 * What happened to the runs that have not ended as far as is known, from their first event on: after a reload, or where
 * events were lost. In the order in which they were asked for: a node keeps its picture where a later run takes it from
 * the cache, and shows that of the last.
 */
export async function replay(): Promise<void> {
  const runs = Object.values(useRuns.getState().runs).filter(({ state }) => !ended(state)).sort((a, b) => a.asked - b.asked);
  const found = runs.map(({ job }) => told(job).catch(() => null));
  for (const asked of found) {
    const past = await asked;
    if (!past) continue;
    useRuns.getState().apply(past.events);
    useRuns.getState().outputs(past.job, past.outputs);
  }
}

/** All events of a run, and what it gave if it has ended. */
async function told(job: string): Promise<{ readonly job: string; readonly events: readonly Entry[]; readonly outputs: JobDetail["outputs"] }> {
  const events: Entry[] = [];
  for (let since = 0; ;) {
    const page = await data<Told>(`/api/jobs/${encodeURIComponent(job)}/events?since=${since}&limit=1000`);
    events.push(...page.events);
    if (page.events.length < 1000) break;
    since = page.last;
  }
  const over = events.some(({ event }) => event.event === "job" && ended(event.state));
  return { job, events, outputs: over ? (await client.job(job)).outputs : [] };
}

/** Whether the server still knows this page. */
async function known(): Promise<void> {
  const stranger = await refreshLine().then(() => false, (error: unknown) => error instanceof Refusal && error.status === 401);
  useServer.setState({ stranger });
}
