/** A draft: everything that is open in a window, as one text. Pure, so that it can be tested without a browser. */
import type { Change, Patch } from "@/graph/change";
import { format } from "@/graph/format";
import { isObject, type Json, type JsonObject } from "@/graph/json";
import { numeric } from "@/graph/number";
import { parse } from "@/graph/parse";
import type { Entered, Tab } from "@/store/editor";

/** How much of the history is kept through a reload, in characters. */
const HISTORY = 1_000_000;

export interface Draft {
  readonly tabs: readonly Tab[];
  readonly active: string;
  /** The runs that the tabs asked for. */
  readonly runs: readonly { readonly tab: string; readonly job: string; readonly asked: number }[];
}

/** A draft as text. */
export function written(draft: Draft): string {
  return format({
    active: draft.active,
    runs: draft.runs.map(({ tab, job, asked }) => ({ tab, job, asked })),
    tabs: draft.tabs.map(row),
  });
}

/** The draft of a text; null for one that cannot be read. */
export function read(text: string): Draft | null {
  let data: Json;
  try {
    data = parse(text);
  } catch {
    return null;
  }
  if (!isObject(data) || !Array.isArray(data["tabs"])) return null;
  const tabs = (data["tabs"] as readonly Json[]).flatMap((entry) => (isObject(entry) ? (tab(entry) ?? []) : []));
  const runs = Array.isArray(data["runs"]) ? (data["runs"] as readonly Json[]) : [];
  return {
    tabs,
    active: string(data["active"]) ?? "",
    runs: runs.flatMap((run) => {
      if (!isObject(run)) return [];
      const [tab, job] = [string(run["tab"]), string(run["job"])];
      return tab && job ? [{ tab, job, asked: numeric(run["asked"]) ?? 0 }] : [];
    }),
  };
}

function row(tab: Tab): Json {
  return {
    id: tab.id,
    name: tab.name,
    etag: tab.etag,
    view: tab.view,
    viewport: tab.viewport ? [tab.viewport.x, tab.viewport.y, tab.viewport.zoom] : null,
    inside: tab.inside.map(({ graph, node }) => ({ graph, node })),
    document: { file: tab.document },
    saved: tab.saved === tab.document ? true : tab.saved ? { file: tab.saved } : null,
    past: changes(tab.past.toReversed()).toReversed(),
    future: changes(tab.future),
  };
}

/** The nearest changes, as many as fit. */
function changes(all: readonly Change[]): Json[] {
  const found: Json[] = [];
  let room = HISTORY;
  for (const { label, merge, patches } of all) {
    const data: Json = { label, merge, patches: patches.map(patchRow) };
    room -= format(data).length;
    if (room < 0) break;
    found.push(data);
  }
  return found;
}

function patchRow({ path, before, after }: Patch): Json {
  return {
    path,
    ...(before === undefined ? {} : { before: [before] }),
    ...(after === undefined ? {} : { after: [after] }),
  };
}

function tab(data: JsonObject): Tab | null {
  const id = string(data["id"]);
  const document = file(data["document"]);
  if (!id || !document) return null;
  const view = data["viewport"];
  const [x, y, zoom] = Array.isArray(view) ? (view as readonly Json[]).map(numeric) : [];
  return {
    id,
    document,
    name: string(data["name"]),
    etag: string(data["etag"]),
    saved: data["saved"] === true ? document : file(data["saved"]),
    past: history(data["past"]),
    future: history(data["future"]),
    selection: new Set(),
    inside: list(data["inside"]).flatMap(entered),
    viewport: typeof x === "number" && typeof y === "number" && zoom ? { x, y, zoom } : null,
    view: data["view"] === "form" ? "form" : "graph",
  };
}

function history(data: Json | undefined): Change[] {
  return list(data).flatMap((entry) => {
    if (!isObject(entry)) return [];
    const patches = list(entry["patches"]).flatMap((patch): Patch[] => {
      if (!isObject(patch)) return [];
      const path = list(patch["path"]).filter((key): key is string => typeof key === "string");
      return [{ path, before: list(patch["before"])[0], after: list(patch["after"])[0] }];
    });
    return [{ label: string(entry["label"]) ?? "", merge: string(entry["merge"]) ?? "", patches }];
  });
}

function entered(data: Json): Entered[] {
  if (!isObject(data)) return [];
  const [graph, node] = [string(data["graph"]), string(data["node"])];
  return graph ? [{ graph, node: node ?? "" }] : [];
}

function file(data: Json | undefined): JsonObject | null {
  const found = isObject(data) ? data["file"] : undefined;
  return isObject(found) ? found : null;
}

function list(data: Json | undefined): readonly Json[] {
  return Array.isArray(data) ? (data as readonly Json[]) : [];
}

function string(data: Json | undefined): string | null {
  return typeof data === "string" ? data : null;
}
