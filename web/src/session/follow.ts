/** Follow the server: the socket's events go to the nodes, and what they make stale is asked for anew. */
import { data, Refusal } from "@/api/request";
import type { Entry } from "@/api/event";
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

/** What happened to the runs that the tabs show, from their first event on: after a reload, or where events were lost. */
export async function replay(): Promise<void> {
  const { runs } = useRuns.getState();
  await Promise.all(
    Object.values(runs).map(async ({ job }) => {
      let since = 0;
      for (;;) {
        const told = await data<Told>(`/api/jobs/${encodeURIComponent(job)}/events?since=${since}&limit=1000`);
        useRuns.getState().apply(told.events);
        if (told.events.length < 1000) break;
        since = told.last;
      }
      if (ended(useRuns.getState().runs[job]?.state ?? "")) await refreshOutputs(job);
    }).map((work) => work.catch(() => undefined)),
  );
}

/** Whether the server still knows this page. */
async function known(): Promise<void> {
  const stranger = await refreshLine().then(() => false, (error: unknown) => error instanceof Refusal && error.status === 401);
  useServer.setState({ stranger });
}
