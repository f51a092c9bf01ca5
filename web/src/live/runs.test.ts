import { beforeEach, describe, expect, it } from "vitest";
import type { Entry, RunEvent } from "@/api/event";
import { useLive } from "@/live/store";
import { useRuns } from "@/live/runs";

let sequence = 0;
const entry = (job: string, event: RunEvent): Entry => ({ sequence: ++sequence, job, time: 0, event });
const apply = (job: string, ...events: RunEvent[]) => useRuns.getState().apply(events.map((event) => entry(job, event)));
const marks = (tab: string) =>
  Object.fromEntries(Object.entries(useLive.getState().tabs[tab] ?? {}).map(([id, node]) => [id, node.mark]));

beforeEach(() => {
  useRuns.setState({ runs: {}, shown: {}, asking: 0, early: [] });
  useLive.setState({ tabs: {} });
});

describe("events of a run", () => {
  it("mark the nodes of its tab", () => {
    useRuns.getState().begin("t", "j");
    apply("j", { event: "job", state: "running" }, { event: "run_planned", steps: ["a", "b"], cached: ["c"], skipped: ["d"] });
    expect(marks("t")).toEqual({ a: "will-run", b: "will-run", c: "cached" });
    apply("j", { event: "node_started", node: "a" }, { event: "node_finished", node: "a", seconds: 0.5 });
    apply("j", { event: "node_started", node: "b" }, { event: "node_progress", node: "b", done: 2, total: 5 });
    expect(marks("t")).toEqual({ a: "done", b: "running", c: "cached" });
    expect(useRuns.getState().runs["j"]).toMatchObject({ through: 1, done: 2, total: 5, state: "running" });
    apply("j", { event: "node_failed", node: "b", because: "b", error: "no" }, { event: "job", state: "failed", error: "b: no" });
    expect(useLive.getState().tabs["t"]?.["b"]).toMatchObject({ mark: "failed", error: "no" });
    expect(useRuns.getState().runs["j"]).toMatchObject({ state: "failed", error: "b: no" });
  });
  it("of a run that nobody here asked for change nothing", () => {
    apply("other", { event: "run_planned", steps: ["a"], cached: [], skipped: [] });
    expect(useLive.getState().tabs).toEqual({});
  });
  it("that came before the answer with its id count from the first on", () => {
    const runs = useRuns.getState();
    runs.ask();
    apply("j", { event: "job", state: "running" }, { event: "run_planned", steps: ["a"], cached: [], skipped: [] },
      { event: "node_finished", node: "a", seconds: 0.1 }, { event: "job", state: "done" });
    apply("other", { event: "job", state: "running" });
    runs.begin("t", "j");
    runs.answered();
    expect(useRuns.getState().runs["j"]).toMatchObject({ state: "done", through: 1 });
    expect(marks("t")).toEqual({ a: "done" });
    expect(useRuns.getState()).toMatchObject({ asking: 0, early: [] });
  });
  it("change one node and leave the others the same objects", () => {
    useRuns.getState().begin("t", "j");
    apply("j", { event: "run_planned", steps: ["a", "b"], cached: [], skipped: [] });
    const before = useLive.getState().tabs["t"];
    apply("j", { event: "node_started", node: "a" });
    const after = useLive.getState().tabs["t"];
    expect(after?.["b"]).toBe(before?.["b"]);
    expect(after?.["a"]).not.toBe(before?.["a"]);
  });
  it("of a later run take the tab over when it begins, not when it waits", () => {
    const runs = useRuns.getState();
    runs.begin("t", "one");
    runs.begin("t", "two");
    expect(useRuns.getState().shown["t"]).toBe("one");
    apply("two", { event: "run_planned", steps: ["z"], cached: [], skipped: [] });
    expect(useRuns.getState().shown["t"]).toBe("two");
    apply("one", { event: "node_started", node: "a" });
    expect(marks("t")).toEqual({ z: "will-run" });
  });
  it("tell a long plan in parts", () => {
    useRuns.getState().begin("t", "j");
    apply("j", { event: "job", state: "running" }, { event: "run_planned", steps: ["a"], cached: [], skipped: [] },
      { event: "run_planned", steps: ["b"], cached: ["c"], skipped: [] });
    expect(marks("t")).toEqual({ a: "will-run", b: "will-run", c: "cached" });
    expect(useRuns.getState().runs["j"]?.steps.size).toBe(2);
  });
  it("begin anew with another attempt", () => {
    useRuns.getState().begin("t", "j");
    apply("j", { event: "job", state: "running" }, { event: "run_planned", steps: ["a", "b"], cached: [], skipped: [] },
      { event: "node_finished", node: "a", seconds: 1 });
    apply("j", { event: "job", state: "queued" }, { event: "job", state: "running" },
      { event: "run_planned", steps: ["b"], cached: ["a"], skipped: [] });
    expect(marks("t")).toEqual({ b: "will-run", a: "cached" });
    expect(useRuns.getState().runs["j"]).toMatchObject({ through: 0 });
  });
  it("tell which node a file comes from", () => {
    useRuns.getState().begin("t", "j");
    apply("j", { event: "run_planned", steps: ["save"], cached: [], skipped: [] },
      { event: "node_output", node: "save", name: "picture.png", media_type: "image/png" });
    const output = { id: "o", name: "picture.png", media: "image/png", size: 1, url: "/api/outputs/o" };
    useRuns.getState().outputs("j", [output, { ...output, id: "p", name: "else.png" }]);
    expect(useLive.getState().tabs["t"]?.["save"]?.pictures).toEqual(["/api/outputs/o"]);
  });
});
