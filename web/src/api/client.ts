/** Requests to the server. */
import type { NodesAnswer } from "@/graph/nodetype";

export interface Uploaded {
  readonly name: string;
  readonly width: number;
  readonly height: number;
}

async function answer<T>(url: string, init?: RequestInit): Promise<T> {
  const response = await fetch(url, init);
  if (!response.ok) throw new Error(`${init?.method ?? "GET"} ${url}: ${response.status}`);
  return (await response.json()) as T;
}

/** Every node type and wire type. */
export function nodes(): Promise<NodesAnswer> {
  return answer("/api/nodes");
}

/** The options of an input whose `ui` says `choices`. */
export async function choices(type: string, input: string): Promise<string[]> {
  const url = `/api/nodes/${encodeURIComponent(type)}/choices/${encodeURIComponent(input)}`;
  return (await answer<{ choices: string[] }>(url)).choices;
}

/** Give the server a picture; its `name` is the value for an image input. */
export function upload(file: Blob, hint = "picture"): Promise<Uploaded> {
  const headers = { "Content-Type": file.type };
  return answer(`/api/uploads?name=${encodeURIComponent(hint)}`, { method: "POST", headers, body: file });
}

/** Where an uploaded picture is. */
export function uploadUrl(name: string): string {
  return `/api/uploads/${encodeURIComponent(name)}`;
}
