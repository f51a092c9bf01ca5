/** Running: a tab's workflow goes into the queue, once or several times. */
import * as client from "@/api/client";
import { Refusal } from "@/api/request";
import { at, put, type Document } from "@/graph/document";
import { sheet } from "@/graph/document";
import { numeric } from "@/graph/number";
import { useServer } from "@/live/link";
import { ended, useRuns } from "@/live/runs";
import { perform, refreshLine } from "@/session/refresh";
import { useCatalogue } from "@/store/catalogue";
import { activeTab } from "@/store/editor";
import { tell } from "@/store/notices";
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
      const job = await client.submit(counted(document, i), crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`);
      useRuns.getState().begin(tab, job.id);
    } catch (error) {
      if (error instanceof Refusal && error.problems.length) {
        useServer.setState((state) => ({ problems: { ...state.problems, [tab]: error.problems } }));
        useSettings.getState().setPanel("problems");
        tell({
          kind: "error",
          title: strings.panels.run.refused(error.problems.length),
          detail: error.problems.slice(0, 2).map((p) => p.text).join("\n"),
        });
        return;
      }
      throw error;
    }
  }
  await refreshLine();
}

/** The same with every fixed seed `i` further on, so that the pictures of a batch differ; an open seed is drawn anew. */
export function counted(document: Document, i: number): Document {
  if (i === 0) return document;
  const { types } = useCatalogue.getState();
  const found = sheet(document);
  if (!found) return document;
  let next = document;
  for (const node of found.nodes.values()) {
    for (const port of types.get(node.type)?.inputs ?? []) {
      if (port.ui?.widget !== "seed") continue;
      const path = [...node.path, "inputs", port.name];
      const seed = numeric(at(document, path));
      if (seed !== null) next = put(next, path, (seed + i) % SEEDS);
    }
  }
  return next;
}

/** Stop what the active tab runs, and take back what it has waiting. */
export function cancelActive(): void {
  const { id } = activeTab();
  for (const run of Object.values(useRuns.getState().runs)) {
    if (run.tab === id && !ended(run.state)) perform(client.cancel(run.job), strings.panels.run.cancelFailed);
  }
}
