/** Events of runs, as the socket brings them; the shapes of `graphengine/events.py`. */
import type { Job } from "@/api/schema";

export type State = Job["state"];

export type RunEvent =
  | { readonly event: "job"; readonly state: State | "cancelling" | "removed"; readonly error?: string }
  | {
      readonly event: "run_planned";
      readonly steps: readonly string[];
      readonly cached: readonly string[];
      readonly skipped: readonly string[];
    }
  | { readonly event: "node_started"; readonly node: string }
  | { readonly event: "node_finished"; readonly node: string; readonly seconds: number }
  | { readonly event: "node_cached"; readonly node: string }
  | { readonly event: "node_progress"; readonly node: string; readonly done: number; readonly total: number }
  | { readonly event: "node_failed"; readonly node: string; readonly because: string; readonly error: string }
  | { readonly event: "node_output"; readonly node: string; readonly name: string; readonly media_type: string }
  | {
      readonly event: "body_finished";
      readonly node: string;
      readonly call: number;
      readonly cached: boolean;
      readonly seconds: number;
    }
  | { readonly event: "model_loaded"; readonly node: string; readonly model: string; readonly seconds: number }
  | { readonly event: "run_ended"; readonly state: State; readonly seconds: number };

/** An event with its place in the order of all. */
export interface Entry {
  readonly sequence: number;
  readonly job: string;
  readonly time: number;
  readonly event: RunEvent;
}

/** A picture of a node while it runs. */
export interface Preview {
  readonly job: string;
  readonly node: string;
  readonly media: string;
  readonly width: number;
  readonly height: number;
  readonly image: Blob;
}

/** A binary frame: four bytes with the length of a JSON header, the header, the picture. Null if it is none. */
export function preview(frame: ArrayBuffer): Preview | null {
  if (frame.byteLength < 4) return null;
  const length = new DataView(frame).getUint32(0);
  if (frame.byteLength < 4 + length) return null;
  try {
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(frame, 4, length))) as Omit<Preview, "image">;
    return { ...header, image: new Blob([new Uint8Array(frame, 4 + length)], { type: header.media }) };
  } catch {
    return null;
  }
}

/** What a text frame says: events, that some were lost, or that there are other node types. Null if none of it. */
export function entries(frame: string): readonly Entry[] | "lost" | "nodes" | null {
  try {
    const told = JSON.parse(frame) as unknown;
    if (Array.isArray(told)) return told as readonly Entry[];
    if (typeof told !== "object" || told === null) return null;
    return "lost" in told ? "lost" : "nodes" in told ? "nodes" : null;
  } catch {
    return null;
  }
}
