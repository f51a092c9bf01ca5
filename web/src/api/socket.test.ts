import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Entry } from "@/api/event";
import { EventSocket, type Link } from "@/api/socket";

/** A socket whose other end is the test. */
class Wire {
  static made: Wire[] = [];
  binaryType = "";
  closed = false;
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string | ArrayBuffer }) => void) | null = null;
  onclose: (() => void) | null = null;
  constructor(readonly url: string) {
    Wire.made.push(this);
  }
  close(): void {
    this.closed = true;
    this.onclose?.();
  }
  say(...sequences: number[]): void {
    const told = sequences.map((sequence) => ({ sequence, job: "j", time: 0, event: { event: "node_cached", node: "n" } }));
    this.onmessage?.({ data: JSON.stringify(told) });
  }
}

function listener() {
  const heard = { events: [] as number[], links: [] as Link[], lost: 0, nodes: 0 };
  return {
    heard,
    events: (entries: readonly Entry[]) => heard.events.push(...entries.map((entry) => entry.sequence)),
    preview: () => undefined,
    lost: () => { heard.lost++; },
    nodes: () => { heard.nodes++; },
    link: (link: Link) => { heard.links.push(link); },
  };
}

function opened(since: number | null = null) {
  const ear = listener();
  const socket = new EventSocket(ear, since, () => "ws://here/api/events", (url) => new Wire(url) as unknown as WebSocket);
  socket.start();
  return { socket, heard: ear.heard };
}

const wire = () => Wire.made.at(-1) as Wire;

beforeEach(() => {
  Wire.made = [];
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());

describe("the socket", () => {
  it("comes back where it was, and tells no event twice", () => {
    const { socket, heard } = opened();
    wire().onopen?.();
    wire().say(7, 8);
    wire().close();
    vi.advanceTimersByTime(300);
    expect(wire().url).toBe("ws://here/api/events?previews=1&since=8");
    wire().onopen?.();
    wire().say(8, 9);
    expect(heard.events).toEqual([7, 8, 9]);
    expect(heard.links).toEqual(["connecting", "open", "closed", "connecting", "open"]);
    socket.stop();
  });
  it("begins with what comes from now on", () => {
    const { socket } = opened();
    expect(wire().url).toBe("ws://here/api/events?previews=1");
    socket.stop();
  });
  it("waits longer each time that nobody answers, and hurries when the machine is online again", () => {
    const { socket } = opened();
    const times: number[] = [];
    for (let i = 0; i < 8; i++) {
      wire().close();
      const before = Wire.made.length;
      let waited = 0;
      while (Wire.made.length === before) {
        vi.advanceTimersByTime(50);
        waited += 50;
      }
      times.push(waited);
    }
    expect(times).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
    wire().close();
    const before = Wire.made.length;
    window.dispatchEvent(new Event("online"));
    expect(Wire.made.length).toBe(before + 1);
    socket.stop();
  });
  it("tells that there are other node types", () => {
    const { heard } = opened();
    wire().onmessage?.({ data: '{"nodes": true}' });
    expect(heard.nodes).toBe(1);
  });
  it("tells that events are lost", () => {
    const { socket, heard } = opened(3);
    wire().onopen?.();
    wire().onmessage?.({ data: '{"lost": true, "since": 90}' });
    expect(heard.lost).toBe(1);
    socket.stop();
  });
  it("that was stopped stays away", () => {
    const { socket } = opened();
    wire().onopen?.();
    socket.stop();
    vi.advanceTimersByTime(60_000);
    window.dispatchEvent(new Event("online"));
    expect(Wire.made.length).toBe(1);
  });
  it("gives up one that does not open, and tries anew", () => {
    const { socket } = opened();
    vi.advanceTimersByTime(10_300);
    expect(Wire.made[0]?.closed).toBe(true);
    expect(Wire.made.length).toBe(2);
    socket.stop();
  });
});
