/** What can be asked of the server: one function for each route that the editor uses. */
import type { State } from "@/api/event";
import { ask, data } from "@/api/request";
import type { Job, JobDetail, Jobs, Queue, Model, Place, Planned, Saved, Uploaded } from "@/api/schema";
import type { Document } from "@/graph/document";
import { isObject } from "@/graph/json";
import type { NodesAnswer } from "@/graph/nodetype";
import { parse } from "@/graph/parse";
import { readDocument, textOf } from "@/store/editor";

const part = encodeURIComponent;
/** The newest node types with their ETag, so that asking again costs little. */
let known: { readonly etag: string; readonly answer: NodesAnswer } | null = null;

/** All node and wire types. */
export async function nodes(): Promise<NodesAnswer> {
  const headers: Record<string, string> = known ? { "If-None-Match": known.etag } : {};
  const answer = await ask("/api/nodes", { headers });
  if (answer.status === 304 && known) return known.answer;
  known = { etag: answer.etag, answer: JSON.parse(answer.text) as NodesAnswer };
  return known.answer;
}

/** The options of an input whose choices the server knows. */
export async function choices(type: string, input: string): Promise<string[]> {
  const found = await data<{ choices: unknown[] }>(`/api/nodes/${part(type)}/choices/${part(input)}`);
  return found.choices.map(String);
}

/** What is wrong with a workflow. */
export async function check(document: Document, signal?: AbortSignal): Promise<readonly Place[]> {
  const json = `{"workflow":${textOf(document)}}`;
  return (await data<{ problems: Place[] }>("/api/check", post(json, signal))).problems;
}

/** What would run, and what is cached. */
export function plan(document: Document, signal?: AbortSignal): Promise<Planned> {
  return data("/api/plan", post(`{"workflow":${textOf(document)}}`, signal));
}

/** Put a run into the queue. The same key twice is one run. */
export function submit(document: Document, key: string, priority = 0): Promise<Job> {
  const json = `{"workflow":${textOf(document)},"priority":${priority}}`;
  return data("/api/jobs", { ...post(json), headers: { "Idempotency-Key": key } });
}

/** Some runs, newest first, and where to go on from. */
export function jobs(states: readonly State[], cursor: string | null, limit = 30): Promise<Jobs> {
  const query = new URLSearchParams(states.map((state) => ["state", state]));
  query.set("limit", String(limit));
  if (cursor) query.set("cursor", cursor);
  return data(`/api/jobs?${query.toString()}`);
}

/** A run with its outputs. */
export function job(id: string): Promise<JobDetail> {
  return data(`/api/jobs/${part(id)}`);
}

/** The workflow of a run as it was run, its seeds drawn. */
export async function workflowOf(id: string): Promise<Document> {
  const answer = parse((await ask(`/api/jobs/${part(id)}`)).text);
  const found = isObject(answer) ? answer["workflow"] : undefined;
  if (!isObject(found)) throw new Error("the run has no workflow");
  return found;
}

/** Ask for a run to be stopped. */
export function cancel(id: string): Promise<Job> {
  return data(`/api/jobs/${part(id)}/cancel`, { method: "POST" });
}

/** Run it once more. */
export function retry(id: string): Promise<Job> {
  return data(`/api/jobs/${part(id)}/retry`, { method: "POST" });
}

/** Put a waiting run elsewhere in the queue. */
export function move(id: string, place: "front" | "back" | "before" | "after", other: string | null): Promise<Job> {
  return data(`/api/jobs/${part(id)}/move`, post(JSON.stringify({ place, other })));
}

/** Give a run another priority, or keep it from being cleared away. */
export function change(id: string, to: { readonly priority?: number; readonly pinned?: boolean }): Promise<Job> {
  return data(`/api/jobs/${part(id)}`, { method: "PATCH", json: JSON.stringify(to) });
}

/** Remove a run that has ended, with its outputs. */
export async function remove(id: string): Promise<void> {
  await ask(`/api/jobs/${part(id)}`, { method: "DELETE" });
}

/** What waits and what runs. */
export function queue(): Promise<Queue> {
  return data("/api/queue");
}

/** Let nothing more begin, or go on. */
export function pause(on: boolean): Promise<Queue> {
  return data(`/api/queue/${on ? "pause" : "resume"}`, { method: "POST" });
}

/** The saved workflows, and those that are shipped. */
export async function workflows(): Promise<readonly Saved[]> {
  return (await data<{ workflows: Saved[] }>("/api/workflows")).workflows;
}

/** A saved workflow with its version. */
export async function workflow(name: string): Promise<{ document: Document; etag: string }> {
  const answer = await ask(`/api/workflows/${part(name)}`);
  return { document: readDocument(answer.text), etag: answer.etag };
}

/** Save under a name: over the version with this ETag, or as a new one where it is null. Gives the new ETag. */
export async function save(name: string, document: Document, etag: string | null): Promise<string> {
  const headers: Record<string, string> = etag === null ? { "If-None-Match": "*" } : { "If-Match": etag };
  const answer = await ask(`/api/workflows/${part(name)}`, { method: "PUT", json: textOf(document), headers });
  return answer.etag || (JSON.parse(answer.text) as { etag: string }).etag;
}

/** Remove a saved workflow. */
export async function discard(name: string, etag: string): Promise<void> {
  await ask(`/api/workflows/${part(name)}`, { method: "DELETE", headers: { "If-Match": etag } });
}

/** Uploaded a picture; its name is the value for an image input. */
export function upload(file: Blob, name = file instanceof File ? file.name : ""): Promise<Uploaded> {
  const headers = { "Content-Type": file.type || "image/png" };
  return data(`/api/uploads?name=${part(name)}`, { method: "POST", body: file, headers });
}

/** Where an uploaded picture is seen. */
export function uploadUrl(name: string): string {
  return `/api/uploads/${part(name)}`;
}

/** What lies under the model roots. */
export async function models(): Promise<readonly Model[]> {
  return (await data<{ models: Model[] }>("/api/models")).models;
}

function post(json: string, signal?: AbortSignal): { method: "POST"; json: string; signal?: AbortSignal } {
  return signal ? { method: "POST", json, signal } : { method: "POST", json };
}
