/** One request to the server, and what can go wrong with it. */
import type { Place, ProblemDocument } from "@/api/schema";

/** The server said no, and why. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly problems: readonly Place[] = [],
  ) {
    super(detail || title);
  }
}

/** There was no answer: the server is down, or out of reach. */
export class NoAnswer extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

/** What came back: its text, and the ETag where it has one. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly etag: string;
}

export interface Ask {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** A body that is JSON text already. */
  readonly json?: string;
  readonly body?: Blob;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Ask the server. Refusal where it says no, NoAnswer where it says nothing. */
export async function ask(path: string, request: Ask = {}): Promise<Answer> {
  const headers: Record<string, string> = { Accept: "application/json", ...request.headers };
  if (request.json !== undefined) headers["Content-Type"] = "application/json";
  const init: RequestInit = { method: request.method ?? "GET", headers, credentials: "same-origin" };
  const body = request.json ?? request.body;
  if (body !== undefined) init.body = body;
  if (request.signal) init.signal = request.signal;
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, init);
    text = await response.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new NoAnswer();
  }
  if (!response.ok && response.status !== 304) throw refusal(response.status, response.statusText, text);
  return { status: response.status, text, etag: response.headers.get("ETag") ?? "" };
}

/** Ask for JSON data of a known shape. */
export async function data<T>(path: string, request: Ask = {}): Promise<T> {
  const answer = await ask(path, request);
  return (answer.text ? JSON.parse(answer.text) : null) as T;
}

/** A problem document as an error; any other text becomes a sentence that says the status. */
export function refusal(status: number, title: string, text: string): Refusal {
  try {
    const told = JSON.parse(text) as Partial<ProblemDocument> | null;
    if (told !== null && typeof told === "object" && typeof told.title === "string") {
      return new Refusal(status, told.title, told.detail ?? "", told.problems ?? []);
    }
  } catch {
    // no problem document: a proxy between, or another server at this address
  }
  return new Refusal(status, title || `Status ${status}`, `The server answered ${status} without a reason.`);
}

/** What to tell a person about an error of any kind. */
export function words(error: unknown): string {
  if (error instanceof Refusal && error.problems.length) {
    return error.problems.map(told).join("\n");
  }
  return error instanceof Error ? error.message : String(error);
}

/** A problem in a line: where it is, and what. */
export function told({ node, input, text }: Place): string {
  const where = [node, input].filter(Boolean).join(".");
  return where ? `${where}: ${text}` : text;
}
