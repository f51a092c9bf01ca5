/**
 * The open workflows: one tab each, with its document, its history and what is selected.
 *
 * Values live here and not in components, because nodes off the screen have none. A document changes in
 * `edit` only, so every change can be undone.
 */
import { create } from "zustand";
import { merged, patches, redone, undone, type Change } from "@/graph/change";
import { blank, sheet, type Document, type Sheet } from "@/graph/document";
import { format } from "@/graph/format";
import { isObject } from "@/graph/json";
import { parse } from "@/graph/parse";

/** A sub-workflow that was entered, and through which node. */
export interface Entered {
  readonly graph: string;
  readonly node: string;
}

export interface Viewport {
  readonly x: number;
  readonly y: number;
  readonly zoom: number;
}

export interface Tab {
  readonly id: string;
  /** Its name on the server; null for one that was never saved there. */
  readonly name: string | null;
  /** The version on the server that it comes from. */
  readonly etag: string | null;
  readonly document: Document;
  /** What was last saved; the tab is unsaved while this is another document. */
  readonly saved: Document | null;
  readonly past: readonly Change[];
  readonly future: readonly Change[];
  /** Ids of nodes, frames and notes on the sheet that is shown. */
  readonly selection: ReadonlySet<string>;
  readonly inside: readonly Entered[];
  readonly viewport: Viewport | null;
  readonly view: "graph" | "form";
}

/** Somewhere that the canvas should show: a node, or one input of it. `count` makes each asking a new one. */
export interface Reveal {
  readonly tab: string;
  readonly node: string;
  readonly input: string;
  readonly count: number;
}

export interface EditorState {
  readonly tabs: readonly Tab[];
  readonly active: string;
  readonly reveal: Reveal | null;

  /** Open a document in a new tab and show it; gives the tab's id. */
  open(document: Document, from?: { name?: string | null; etag?: string | null; saved?: boolean }): string;
  close(tab: string): void;
  activate(tab: string): void;
  /** Change the active document. `merge`: edits of the same name within a second are undone as one. */
  edit(label: string, change: (document: Document) => Document, merge?: string): void;
  undo(): void;
  redo(): void;
  /** The server has this document now. */
  markSaved(tab: string, document: Document, name: string, etag: string): void;
  select(ids: Iterable<string>): void;
  enter(graph: string, node: string): void;
  /** Go back out so that `depth` sub-workflows stay entered. */
  leave(depth: number): void;
  setViewport(tab: string, viewport: Viewport): void;
  setView(view: Tab["view"]): void;
  /** Show a node, `graph:name/id` in a sub-workflow as problems name it, and select it. */
  show(node: string, input?: string): void;
  /** Put tabs back as a draft had them. */
  restore(tabs: readonly Tab[], active: string): void;
}

/** How many changes can be undone. */
const DEEP = 500;
/** How long edits of one name count as one, in milliseconds. */
const PAUSE = 1000;

let count = 0;
let last = 0;

function tabOf(document: Document, from: { name?: string | null; etag?: string | null; saved?: boolean }): Tab {
  return {
    id: `t${Date.now().toString(36)}${++count}`,
    name: from.name ?? null,
    etag: from.etag ?? null,
    document,
    saved: from.saved ? document : null,
    past: [],
    future: [],
    selection: new Set(),
    inside: [],
    viewport: null,
    view: "graph",
  };
}

export const useEditor = create<EditorState>()((set, get) => {
  const change = (id: string, to: (tab: Tab) => Partial<Tab>) =>
    set((state) => ({ tabs: state.tabs.map((tab) => (tab.id === id ? { ...tab, ...to(tab) } : tab)) }));
  const here = (to: (tab: Tab) => Partial<Tab>) => change(get().active, to);
  const first = tabOf(blank(""), {});

  return {
    tabs: [first],
    active: first.id,
    reveal: null,

    open: (document, from = {}) => {
      const tab = tabOf(document, from);
      set((state) => ({ tabs: [...state.tabs.filter((old) => !untouched(old)), tab], active: tab.id }));
      return tab.id;
    },
    close: (id) =>
      set((state) => {
        const at = state.tabs.findIndex((tab) => tab.id === id);
        const left = state.tabs.filter((tab) => tab.id !== id);
        const tabs = left.length ? left : [tabOf(blank(""), {})];
        const next = state.active === id ? tabs[Math.min(at, tabs.length - 1)]?.id : state.active;
        return { tabs, active: next ?? "" };
      }),
    activate: (active) => set({ active }),
    edit: (label, change, merge = "") => {
      const now = Date.now();
      const soon = now - last < PAUSE;
      last = now;
      here((tab) => {
        const document = change(tab.document);
        const found = patches(tab.document, document);
        if (!found.length) return {};
        const entry = { label, merge, patches: found };
        const before = tab.past.at(-1);
        const joins = soon && merge !== "" && before?.merge === merge && !tab.future.length;
        const past = joins && before ? [...tab.past.slice(0, -1), merged(before, entry)] : [...tab.past, entry];
        return { document, past: past.slice(-DEEP), future: [], ...kept(tab, document) };
      });
    },
    undo: () =>
      here((tab) => {
        const entry = tab.past.at(-1);
        if (!entry) return {};
        const document = undone(tab.document, entry);
        return { document, past: tab.past.slice(0, -1), future: [entry, ...tab.future], ...kept(tab, document) };
      }),
    redo: () =>
      here((tab) => {
        const entry = tab.future[0];
        if (!entry) return {};
        const document = redone(tab.document, entry);
        return { document, past: [...tab.past, entry], future: tab.future.slice(1), ...kept(tab, document) };
      }),
    markSaved: (id, saved, name, etag) => change(id, () => ({ saved, name, etag })),
    select: (ids) =>
      here((tab) => {
        const { nodes, layout } = shownSheet(tab);
        return { selection: new Set([...ids].filter((id) => nodes.has(id) || id in layout)) };
      }),
    enter: (graph, node) =>
      here((tab) => ({ inside: [...tab.inside, { graph, node }], selection: new Set(), viewport: null })),
    leave: (depth) =>
      here((tab) => ({ inside: tab.inside.slice(0, depth), selection: new Set(), viewport: null })),
    setViewport: (id, viewport) => change(id, () => ({ viewport })),
    setView: (view) => here(() => ({ view })),
    show: (place, input = "") => {
      const found = /^graph:([^/]+)(?:\/(.*))?$/.exec(place);
      const [graph, node] = found ? [found[1] ?? "", found[2] ?? ""] : ["", place];
      here((tab) => {
        const shown = tab.inside.at(-1)?.graph ?? "";
        const inside = graph === shown ? tab.inside : graph ? [{ graph, node: "" }] : [];
        const moved = inside === tab.inside ? {} : { viewport: null };
        return { ...moved, inside, view: "graph", selection: new Set(node ? [node] : []) };
      });
      set((state) => ({ reveal: { tab: state.active, node, input, count: (state.reveal?.count ?? 0) + 1 } }));
    },
    restore: (tabs, active) => {
      if (tabs.length) set({ tabs, active: tabs.some((tab) => tab.id === active) ? active : (tabs[0]?.id ?? "") });
    },
  };
});

/** What must change with a document: nothing that is gone stays selected or entered. */
function kept(tab: Tab, document: Document): Partial<Tab> {
  const gone = tab.inside.findIndex((entered) => sheet(document, entered.graph) === null);
  const inside = gone < 0 ? tab.inside : tab.inside.slice(0, gone);
  const shown = sheet(document, inside.at(-1)?.graph ?? "");
  const there = (id: string) => shown !== null && (shown.nodes.has(id) || id in shown.layout);
  const selection = [...tab.selection].every(there)
    ? tab.selection
    : new Set([...tab.selection].filter(there));
  return gone < 0 ? { selection } : { selection, inside, viewport: null };
}

/** An empty tab that nobody has used. */
export function untouched(tab: Tab): boolean {
  return tab.name === null && !tab.past.length && !tab.future.length && !tab.saved &&
    Object.keys(isObject(tab.document["nodes"]) ? tab.document["nodes"] : {}).length === 0;
}

/** Whether a tab has something that the server has not. */
export function unsaved(tab: Tab): boolean {
  return tab.document !== tab.saved && !untouched(tab);
}

/** The tab that is shown. */
export function activeTab(state: EditorState = useEditor.getState()): Tab {
  const found = state.tabs.find((tab) => tab.id === state.active) ?? state.tabs[0];
  if (!found) throw new Error("there is always a tab");
  return found;
}

/** The sheet that a tab shows: the file's own graph, or the sub-workflow that was entered. */
export function shownSheet(tab: Tab): Sheet {
  const found = sheet(tab.document, tab.inside.at(-1)?.graph ?? "") ?? sheet(tab.document);
  if (!found) throw new Error("a document is a sheet");
  return found;
}

/** The sheet whose values are edited: the form is that of the file's own graph. */
export function editedSheet(tab: Tab): Sheet {
  return (tab.view === "form" ? sheet(tab.document) : null) ?? shownSheet(tab);
}

/** The document of a JSON text; throws `NotJson`, or an Error for JSON that is no workflow. */
export function readDocument(text: string): Document {
  const data = parse(text);
  if (!isObject(data) || !isObject(data["nodes"] ?? {})) {
    throw new Error("a workflow is a JSON object with nodes");
  }
  return data;
}

const texts = new WeakMap<Document, string>();

/** The text under which a document is saved. */
export function textOf(document: Document): string {
  let found = texts.get(document);
  if (found === undefined) texts.set(document, (found = format(document)));
  return found;
}
