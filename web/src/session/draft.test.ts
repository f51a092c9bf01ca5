import { describe, expect, it } from "vitest";
import { patches } from "@/graph/change";
import { readDocument, textOf, type Tab } from "@/store/editor";
import { read, written } from "@/session/draft";

const FIRST = readDocument('{"format": 1, "nodes": {"a": {"type": "x.y", "inputs": {"v": 5.0, "1": 1e-7, "w": {"value": {"link": "q"}}}}}}');
const SECOND = readDocument('{"format": 1, "nodes": {"a": {"type": "x.y", "inputs": {"v": 6.0, "1": 1e-7}}}}');

function tab(over: Partial<Tab> = {}): Tab {
  return {
    id: "t1", name: "mine", etag: '"e"', document: SECOND, saved: FIRST,
    past: [{ label: "edit", merge: "", patches: patches(FIRST, SECOND) }], future: [],
    selection: new Set(), inside: [{ graph: "g", node: "n" }], viewport: { x: 1.5, y: -2, zoom: 0.5 }, view: "form",
    ...over,
  };
}

describe("a draft", () => {
  it("comes back as it was, numbers and order of keys too", () => {
    const draft = { tabs: [tab(), tab({ id: "t2", saved: null, name: null, etag: null, viewport: null, past: [] })], active: "t2", runs: [{ tab: "t1", job: "j", asked: 12 }] };
    const found = read(written(draft));
    expect(found).toEqual(draft);
    expect(textOf(found?.tabs[0]?.document ?? {})).toBe(textOf(SECOND));
    expect(textOf(found?.tabs[0]?.saved ?? {})).toBe(textOf(FIRST));
  });
  it("knows that nothing changed since it was saved", () => {
    const [found] = read(written({ tabs: [tab({ saved: SECOND })], active: "t1", runs: [] }))?.tabs ?? [];
    expect(found?.saved).toBe(found?.document);
  });
  it("keeps the newest of a history that is too large", () => {
    const past = [1, 2, 3].map((i) => ({
      label: String(i), merge: "", patches: [{ path: ["name"], before: "x".repeat(400_000), after: "y" }],
    }));
    const [found] = read(written({ tabs: [tab({ past })], active: "t1", runs: [] }))?.tabs ?? [];
    expect(found?.past.map((change) => change.label)).toEqual(["2", "3"]);
  });
  it("that is damaged is none", () => {
    for (const text of ["", "{", "[]", "{}", '{"tabs": 3}']) expect(read(text)).toBeNull();
    expect(read('{"tabs": [{"id": "t"}, 3], "active": "t"}')?.tabs).toEqual([]);
  });
});
