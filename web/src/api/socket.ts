/**
 * The socket: events of all jobs with their numbers, so that a page that was away goes on where it was.
 *
 * It comes back by itself, after a moment that doubles up to `SLOWEST`, and at once when the machine is online
 * again or the page is looked at.
 */
import { entries, preview, type Entry, type Preview } from "@/api/event";

export type Link = "connecting" | "open" | "closed";

export interface Listener {
  events(entries: readonly Entry[]): void;
  preview(preview: Preview): void;
  /** Events after the last number are gone: what they told must be asked for anew. */
  lost(): void;
  /** There are other node types. */
  nodes(): void;
  link(link: Link): void;
}

const FIRST = 250;
const SLOWEST = 5000;
/** A server that says nothing for so long is taken for gone; it pings more often than that. */
const PATIENCE = 10_000;

export class EventSocket {
  /** The number of the last event that was told; null before the first. */
  since: number | null;
  private socket: WebSocket | null = null;
  private wait = FIRST;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stopped = true;

  constructor(
    private readonly listener: Listener,
    since: number | null = null,
    private readonly address: () => string = eventsAddress,
    private readonly make: (url: string) => WebSocket = (url) => new WebSocket(url),
  ) {
    this.since = since;
  }

  /** Connect, and stay connected until `stop`. */
  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    window.addEventListener("online", this.hurry);
    document.addEventListener("visibilitychange", this.hurry);
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    window.removeEventListener("online", this.hurry);
    document.removeEventListener("visibilitychange", this.hurry);
    this.socket?.close();
    this.socket = null;
  }

  /** Try again now, if it waits to. */
  readonly hurry = (): void => {
    if (this.stopped || this.socket || document.visibilityState === "hidden") return;
    this.wait = FIRST;
    this.connect();
  };

  private connect(): void {
    clearTimeout(this.timer);
    this.listener.link("connecting");
    const query = this.since === null ? "previews=1" : `previews=1&since=${this.since}`;
    const socket = this.make(`${this.address()}?${query}`);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    const late = setTimeout(() => socket.close(), PATIENCE);
    socket.onopen = () => {
      clearTimeout(late);
      this.wait = FIRST;
      this.listener.link("open");
    };
    socket.onmessage = (message: MessageEvent<string | ArrayBuffer>) => {
      if (this.socket === socket) this.take(message.data);
    };
    socket.onclose = () => {
      clearTimeout(late);
      if (this.socket !== socket) return;
      this.socket = null;
      if (this.stopped) return;
      this.listener.link("closed");
      this.timer = setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(this.wait * 2, SLOWEST);
    };
  }

  private take(frame: string | ArrayBuffer): void {
    if (typeof frame !== "string") {
      const found = preview(frame);
      if (found) this.listener.preview(found);
      return;
    }
    const told = entries(frame);
    if (told === "lost") this.listener.lost();
    else if (told === "nodes") this.listener.nodes();
    else if (told) {
      const fresh = told.filter((entry) => this.since === null || entry.sequence > this.since);
      const last = fresh.at(-1);
      if (!last) return;
      this.since = last.sequence;
      this.listener.events(fresh);
    }
  }
}

/** Where the events are, on the server that this page came from. */
export function eventsAddress(): string {
  const { protocol, host } = window.location;
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/api/events`;
}
