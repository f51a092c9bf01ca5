/** Asking the server anew for its queue, its past runs, its workflows and its models. */
import * as client from "@/api/client";
import { NoAnswer, Refusal, words } from "@/api/request";
import type { JobDetail } from "@/api/schema";
import { useServer } from "@/live/link";
import { useRuns } from "@/live/runs";
import { useCatalogue } from "@/store/catalogue";
import { tell, withdraw } from "@/store/notices";
import { strings } from "@/strings";

const ENDED = ["done", "failed", "cancelled"] as const;
const PAGE = 24;

/** The node types, when they have changed; what of a pack can be used no more, or now again, is told. */
export async function refreshTypes(): Promise<void> {
  const words = strings.panels.problems;
  const { problems: before } = useCatalogue.getState();
  const answer = await client.nodes();
  useCatalogue.getState().load(answer);
  const now = new Set(answer.problems.map(({ text }) => text));
  const known = new Set(before.map(({ text }) => text));
  for (const { pack, text } of before) {
    if (!now.has(text)) withdraw(words.broken(pack), text);
  }
  for (const { pack, text } of answer.problems) {
    if (!known.has(text)) tell({ kind: "error", title: words.broken(pack), detail: text });
  }
  const broken = new Set(answer.problems.map(({ pack }) => pack));
  for (const pack of new Set(before.map(({ pack }) => pack))) {
    if (!broken.has(pack)) tell({ kind: "done", title: words.mended(pack) });
  }
}

/** The queue. */
export async function refreshLine(): Promise<void> {
  useServer.setState({ line: await client.queue() });
}

/** The newest past runs; those further back that are known stay. */
export async function refreshPast(): Promise<void> {
  const page = await client.jobs(ENDED, null, PAGE);
  const fresh = await details(page.jobs.map((job) => job.id));
  useServer.setState((state) => {
    const oldest = fresh.at(-1)?.created ?? 0;
    const older = state.cursor === undefined ? [] : state.past.filter((job) => job.created < oldest);
    return { past: [...fresh, ...older], cursor: older.length ? state.cursor : page.cursor };
  });
}

/** The next page of past runs. */
export async function morePast(): Promise<void> {
  const { cursor } = useServer.getState();
  if (!cursor) return;
  const page = await client.jobs(ENDED, cursor, PAGE);
  const found = await details(page.jobs.map((job) => job.id));
  useServer.setState((state) => ({
    past: [...state.past, ...found.filter((job) => !state.past.some((other) => other.id === job.id))],
    cursor: page.cursor,
  }));
}

/** Runs by their ids; what is known to have ended is not asked again. */
async function details(ids: readonly string[]): Promise<JobDetail[]> {
  const known = new Map(useServer.getState().past.map((job) => [job.id, job]));
  const found = await Promise.all(ids.map(async (id) => known.get(id) ?? client.job(id).catch(() => null)));
  return found.filter((job) => job !== null);
}

/** The workflows that can be opened. */
export async function refreshShelf(): Promise<void> {
  useServer.setState({ shelf: await client.workflows() });
}

/** The models. */
export async function refreshModels(): Promise<void> {
  useServer.setState({ models: await client.models() });
}

/** A run of this page has ended: its files are shown in the nodes that made them. */
export async function refreshOutputs(job: string): Promise<void> {
  useRuns.getState().outputs(job, (await client.job(job)).outputs);
}

/** Do something, and tell of it if it fails; that the server is away is told by the banner. */
export function attempt(work: Promise<unknown>, title: string = strings.panels.failed): void {
  work.catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") return;
    if (useServer.getState().link !== "open" && away(error)) return;
    tell({ kind: "error", title, detail: words(error) });
  });
}

/** Whether the banner says it already. */
function away(error: unknown): boolean {
  return error instanceof NoAnswer || (error instanceof Refusal && error.status === 401);
}

/** The same, but for what the person asked for: it always says why nothing happened. */
export function perform(work: Promise<unknown>, title: string): void {
  work.catch((error: unknown) => tell({ kind: "error", title, detail: words(error) }));
}

/** A function that does its work once, `pause` milliseconds after the first of several calls. */
export function soon(work: () => Promise<unknown>, pause = 100): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      attempt(work());
    }, pause);
  };
}
