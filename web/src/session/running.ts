/** Running: a tab's workflow goes into the queue, once or several times. */
import * as client from "@/api/client";
import { Refusal, told } from "@/api/request";
import { put, sheet, type Document } from "@/graph/document";
import { numeric } from "@/graph/number";
import { useServer } from "@/live/link";
import { ended, useRuns } from "@/live/runs";
import { attempt, perform, refreshLine, refreshOutputs } from "@/session/refresh";
import { openSeeds, seedsOf } from "@/session/seeds";
import { activeTab, useEditor } from "@/store/editor";
import { tell } from "@/store/notices";
import { advanced, useSeeds } from "@/store/seeds";
import { useSettings } from "@/store/settings";
import { strings } from "@/strings";

/** One more than the largest seed. */
const SEEDS = 2 ** 32;

/** Run the active tab as often as the batch count says. */
export function runActive(count = useSettings.getState().batch): void {
  const { id, document } = activeTab();
  perform(submitAll(id, document, count), strings.panels.run.failed);
}

async function submitAll(tab: string, document: Document, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    try {
      const job = await submit(tab, counted(document, i));
      if (i === count - 1) await noteSeeds(tab, job);
    } catch (error) {
      if (!(error instanceof Refusal) || !error.problems.length) throw error;
      refused(tab, error);
      return;
    }
  }
  if (activeTab().id === tab) {
    useEditor.getState().edit(strings.panels.run.count, (now) => {
      for (let i = 0; i < count; i++) now = advanced(now);
      return now;
    });
  }
  await refreshLine();
}

/** One run of a tab's workflow, followed from its first event on; its job. A short one may be over when its id comes. */
async function submit(tab: string, document: Document): Promise<string> {
  const runs = useRuns.getState();
  runs.ask();
  try {
    const job = await client.submit(document, key());
    runs.begin(tab, job.id);
    if (ended(useRuns.getState().runs[job.id]?.state ?? "")) attempt(refreshOutputs(job.id));
    return job.id;
  } finally {
    runs.answered();
  }
}

/** A name that makes the same request twice one run. */
function key(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The server does not take it: its problems are shown. */
function refused(tab: string, error: Refusal): void {
  useServer.setState((state) => ({ problems: { ...state.problems, [tab]: error.problems } }));
  useSettings.getState().setPanel("problems");
  tell({
    kind: "error",
    title: strings.panels.run.refused(error.problems.length),
    detail: error.problems.slice(0, 2).map(told).join("\n"),
  });
}

/** The seeds that the server drew are shown where they were left open. */
async function noteSeeds(tab: string, job: string): Promise<void> {
  const seeds = seedsOf(await client.job(job));
  useSeeds.getState().note(tab, Object.fromEntries(seeds.map(({ node, input, value }) => [`${node}.${input}`, value])));
}

/** The same with every fixed seed `i` further on, so that the pictures of a batch differ; an open one is drawn anew. */
export function counted(document: Document, i: number): Document {
  if (i === 0) return document;
  const nodes = sheet(document)?.nodes;
  return openSeeds(document).reduce((next, { node, input, value }) => {
    const seed = numeric(value);
    const home = nodes?.get(node);
    return seed === null || !home ? next : put(next, [...home.path, "inputs", input], (seed + i) % SEEDS);
  }, document);
}

/** Stop what the active tab runs, and take back what it has waiting. */
export function cancelActive(): void {
  const { id } = activeTab();
  for (const run of Object.values(useRuns.getState().runs)) {
    if (run.tab === id && !ended(run.state)) perform(client.cancel(run.job), strings.panels.run.cancelFailed);
  }
}
