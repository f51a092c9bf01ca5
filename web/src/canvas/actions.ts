/** What the canvas and its menus do to the active document. Each is one edit that can be undone. */
import { useCanvas } from "@/canvas/store";
import { aligned, arranged, unplaced, type Side } from "@/graph/arrange";
import {
  connected, entryFor, exitFor, fit, filled, insertedOn, scene as sceneOf, sceneOf as same, withBetween,
  type Scene, type Source, type Target,
} from "@/graph/connect";
import { chain, graphNames, parts, written, type Document, type Graph, type Node } from "@/graph/document";
import { copied, duplicated, pasted, type Clip } from "@/graph/clipboard";
import {
  freeId, fresh, moved, removed, renamedNode, renamedParam, unlinked, withBodyOutput, withField, withInput, withLayout, withNode, withPlace,
  withState, type Point, type State,
} from "@/graph/edit";
import { boxes, type Box } from "@/graph/geometry";
import { format } from "@/graph/format";
import { isObject, type Json, type JsonObject } from "@/graph/json";
import { dagre } from "@/graph/layouter";
import type { NodeType, Port } from "@/graph/nodetype";
import { parse } from "@/graph/parse";
import { madeSubgraph, movedInto, unpacked } from "@/graph/subgraph";
import { bendsKey, type Wire } from "@/graph/wires";
import { perform } from "@/session/refresh";
import { useCatalogue } from "@/store/catalogue";
import { activeTab, shownSheet, useEditor } from "@/store/editor";
import { strings } from "@/strings";

/** The sheet that is shown, with its types, as it is now. */
export function here(): Scene {
  const tab = activeTab();
  return sceneOf(tab.document, shownSheet(tab).name, useCatalogue.getState().types);
}

/** The same sheet of a document that is being made. */
function scene(document: Document): Scene {
  return same(document, here());
}

/** The boxes of the sheet that is shown. */
export function boxesHere(pictured: ReadonlySet<string> = new Set()): Map<string, Box> {
  return boxes(here(), { pictured, place: placeNow, rest: restingPlace });
}

/** Where a node is though the file does not say it. */
export function placeNow(id: string): Point | undefined {
  return useCanvas.getState().drag?.get(id) ?? restingPlace(id);
}

/** The same, without what is dragged. */
export function restingPlace(id: string): Point | undefined {
  const place = useCanvas.getState().computed.get(id);
  return place && unwritten(id) ? place : undefined;
}

function unwritten(id: string): boolean {
  const entry = shownSheet(activeTab()).layout[id];
  return entry === undefined || typeof entry !== "object" || entry === null || !("at" in entry);
}

/** A document in which every node of the sheet has the place at which it is seen. */
export function pinned(document: Document): Document {
  const now = scene(document);
  const { computed } = useCanvas.getState();
  const places = new Map(unplaced(now).flatMap((id) => {
    const place = computed.get(id);
    return place ? [[id, place] as const] : [];
  }));
  return places.size ? moved(document, now.sheet, places) : document;
}

function edit(label: string, change: (document: Document) => Document, merge = ""): void {
  useEditor.getState().edit(label, change, merge);
}

function selection(): string[] {
  return [...activeTab().selection];
}

function selectedNodes(): Node[] {
  const { nodes } = shownSheet(activeTab());
  return selection().flatMap((id) => nodes.get(id) ?? []);
}

/** Write a literal at an input; undefined puts the default back. */
export function setInput(id: string, port: Port, value: Json | undefined, merge = ""): void {
  edit(strings.edits.value(port.name), (document) => {
    const node = scene(document).sheet.nodes.get(id);
    return node ? withInput(document, node, port.name, value === undefined ? undefined : written(value)) : document;
  }, merge && `${merge} ${id}`);
}

/** Add a node, linked to what the palette was opened for; gives its id. */
export function addNode(
  kind: NodeType, place: Point, graph: Graph, link: { readonly from?: Source; readonly to?: Target } = {},
): string {
  const id = freeId(here().sheet.nodes, kind.id);
  edit(strings.edits.add, (document) => {
    let now = withNode(pinned(document), graph, id, fresh(kind));
    now = withLayout(now, scene(now).sheet, { [id]: { at: [Math.round(place[0]), Math.round(place[1])] } });
    if (link.from) {
      const target = entryFor(scene(now), id, link.from);
      if (target) now = connected(scene(now), link.from, target);
    }
    if (link.to) {
      const source = exitFor(scene(now), id, link.to);
      if (source) now = connected(scene(now), source, link.to);
    }
    return link.from || link.to ? filled(scene(now), id) : now;
  });
  useEditor.getState().select([id]);
  return id;
}

/** Link a source to a target, if it fits. */
export function connect(source: Source, target: Target): boolean {
  if (!fit(here(), source, target).ok) return false;
  edit(strings.edits.connect, (document) => connected(scene(document), source, target));
  return true;
}

/** Take a wire away. */
export function disconnect(wire: Pick<Wire, "target" | "item">): void {
  edit(strings.edits.disconnect, (document) => withoutWire(document, wire));
}

function withoutWire(document: Document, { target, item }: Pick<Wire, "target" | "item">): Document {
  const now = scene(document);
  const node = now.sheet.nodes.get(target.node);
  if (!node) return document;
  if (target.body === undefined) return unlinked(document, node, target.input, item, now.typing.kinds.get(node.type));
  const body = node.bodies[target.body];
  return body ? withBodyOutput(document, body, target.input, undefined) : document;
}

/** Move the end of a wire to another target, or its beginning to another source. */
export function reconnect(wire: Wire, source: Source, target: Target): void {
  edit(strings.edits.connect, (document) => {
    const now = withoutWire(document, wire);
    return fit(scene(now), source, target).ok ? connected(scene(now), source, target) : document;
  });
}

/** Put a new node of a type between a source and a target. */
export function insert(type: string, source: Source, target: Target, place: Point): void {
  let id = "";
  edit(strings.edits.insert, (document) => {
    const found = withBetween(scene(pinned(document)), type, source, target, place);
    id = found?.id ?? "";
    return found?.document ?? document;
  });
  if (id) useEditor.getState().select([id]);
}

/** Put a node that is there already onto a wire. */
export function insertOn(id: string, wire: Wire): void {
  edit(strings.edits.insert, (document) => insertedOn(scene(document), id, wire.source, wire.target, wire.item));
}

/** Put things where they were dropped. */
export function move(places: ReadonlyMap<string, Point>, merge = ""): void {
  edit(strings.edits.move, (document) => {
    const now = pinned(document);
    return moved(now, scene(now).sheet, places);
  }, merge);
}

/** Move nodes into another graph: the body of a loop, or out of it. Says why it cannot be, or nothing. */
export function moveInto(ids: readonly string[], graph: Graph, places: ReadonlyMap<string, Point>): string {
  const found = movedInto(here(), ids, graph);
  if (typeof found === "string") return found;
  edit(strings.edits.move, (document) => {
    const now = pinned(document);
    const next = movedInto(scene(now), ids, scene(now).sheet.graphs.find((g) => g.path.join() === graph.path.join()) ?? graph);
    return typeof next === "string" ? document : moved(next, scene(next).sheet, places);
  });
  return "";
}

/** Delete the selected nodes, frames, notes and wires. */
export function remove(): void {
  const ids = selection();
  const { wires } = useCanvas.getState();
  const all = wiresHere().filter((wire) => wires.has(wire.id)).reverse();
  edit(strings.edits.remove, (document) => {
    const cut = all.reduce(withoutWire, document);
    return removed(cut, shownSheet(activeTab()).name, ids);
  });
  useCanvas.setState({ wires: new Set() });
}

let wiresNow: () => readonly Wire[] = () => [];

/** The wires of the sheet that is shown. */
export function wiresHere(): readonly Wire[] {
  return wiresNow();
}

/** The canvas says where the wires are known. */
export function provideWires(read: () => readonly Wire[]): void {
  wiresNow = read;
}

/** Mute or bypass the selected nodes; again puts them back in service. */
export function toggleState(state: Exclude<State, "">): void {
  const nodes = selectedNodes();
  const on = nodes.some((node) => node.data["state"] !== state);
  edit(strings.commands[state === "muted" ? "mute" : "bypass"], (document) => withState(document, nodes, on ? state : ""));
}

/** Change a field of the layout of the selected nodes: collapsed, open, colour. */
export function setPlace(ids: readonly string[], fields: Readonly<Record<string, Json | undefined>>, label: string): void {
  edit(label, (document) =>
    ids.reduce((now, id) => withPlace(now, scene(now).sheet, id, fields), pinned(document)));
}

/** Collapse the selected nodes, or expand them if all are collapsed. */
export function toggle(field: "collapsed" | "open"): void {
  const ids = selectedNodes().map((node) => node.id);
  const { layout } = shownSheet(activeTab());
  const on = ids.some((id) => (layout[id] as JsonObject | undefined)?.[field] !== true);
  setPlace(ids, { [field]: on ? true : undefined }, strings.commands[field === "collapsed" ? "collapse" : "inputs"]);
}

/** Write the title, the note or the state of a node. */
export function setField(id: string, field: "title" | "note" | "state", value: string): void {
  edit(strings.edits[field === "note" ? "note" : "rename"], (document) => {
    const node = scene(document).sheet.nodes.get(id);
    return node ? withField(document, node, field, value) : document;
  }, field === "state" ? "" : `${field} ${id}`);
}

let clip: Clip | null = null;
/** How the text of a copy begins. */
const CLIP = '{\n  "graphengine":';

/** Copy the selection, also for other programs. */
export function copy(): void {
  clip = copied(here(), selection(), placeNow);
  if (!clip) return;
  const text = format({ graphengine: { nodes: clip.nodes, layout: clip.layout } });
  // a browser that does not let us write there keeps the copy in this window
  void navigator.clipboard?.writeText(text).catch(() => undefined);
}

/** Paste what was copied at a place, with the wires that came from outside if these are there. */
export function paste(place: Point, graph: Graph, wired: boolean, from: Clip | null = clip): void {
  if (!from) return;
  let ids: readonly string[] = [];
  edit(strings.commands.paste, (document) => {
    const found = pasted(scene(pinned(document)), from, graph, place, wired);
    ids = found.ids;
    return found.document;
  });
  if (ids.length) useEditor.getState().select(ids);
}

/** Copy the selection a little lower. */
export function duplicate(): void {
  let ids: readonly string[] = [];
  edit(strings.commands.duplicate, (document) => {
    const found = duplicated(scene(pinned(document)), selection());
    ids = found.ids;
    return found.document;
  });
  if (ids.length) useEditor.getState().select(ids);
}

/** Make a sub-workflow of the selected nodes. Says why it cannot be, or nothing. */
export function makeSubgraph(): string {
  const ids = selectedNodes().map((node) => node.id);
  const graphs = new Set(graphNames(activeTab().document));
  const found = madeSubgraph(scene(pinned(activeTab().document)), ids, freeId(graphs, "group"));
  if (typeof found === "string") return found;
  edit(strings.commands.subgraph, () => found.document);
  useEditor.getState().select([found.id]);
  return "";
}

/** Write out the sub-workflow that the selected node runs. */
export function unpack(): void {
  const [node] = selectedNodes();
  if (!node) return;
  let ids: readonly string[] = [];
  edit(strings.commands.unpack, (document) => {
    const found = unpacked(scene(pinned(document)), node.id);
    ids = found?.ids ?? [];
    return found?.document ?? document;
  });
  if (ids.length) useEditor.getState().select(ids);
}

/** Lay out the selected nodes, or all of them. */
export async function tidy(pictured: ReadonlySet<string>): Promise<void> {
  const layouter = await dagre();
  const chosen = new Set(selectedNodes().map((node) => node.id));
  edit(strings.commands.tidy, (document) => {
    const now = scene(pinned(document));
    const laid = arranged(now, pictured, layouter, (id) => chosen.size < 2 || chosen.has(id));
    useCanvas.setState({ laid });
    return moved(now.document, now.sheet, laid.places);
  });
}

/** Put the selected nodes in line. */
export function align(side: Side): void {
  const all = boxesHere();
  const [first] = selectedNodes();
  const group = selectedNodes().filter((node) => node.graph === first?.graph).flatMap((node) => all.get(node.id) ?? []);
  if (group.length > 1) move(aligned(group, side));
}

/** A free key of the layout for a frame or a note. */
function freeKey(kind: "frame" | "note"): string {
  const { layout } = shownSheet(activeTab());
  for (let i = 1; ; i++) if (!(`${kind}:${i}` in layout)) return `${kind}:${i}`;
}

/** A frame around the selected nodes. */
export function addFrame(place: Point): void {
  const all = boxesHere();
  const group = selectedNodes().flatMap((node) => all.get(node.id) ?? []);
  const left = group.length ? Math.min(...group.map((box) => box.absolute[0])) : place[0];
  const top = group.length ? Math.min(...group.map((box) => box.absolute[1])) : place[1];
  const right = group.length ? Math.max(...group.map((box) => box.absolute[0] + box.shape.width)) : left + 300;
  const bottom = group.length ? Math.max(...group.map((box) => box.absolute[1] + box.shape.height)) : top + 200;
  addExtra("frame", {
    at: [Math.round(left - 20), Math.round(top - 44)],
    size: [Math.round(right - left + 40), Math.round(bottom - top + 64)],
    title: strings.canvas.frame,
  });
}

/** A note on the canvas. */
export function addNote(place: Point): void {
  addExtra("note", { at: [Math.round(place[0]), Math.round(place[1])], size: [220, 120], text: "" });
}

function addExtra(kind: "frame" | "note", entry: JsonObject): void {
  const key = freeKey(kind);
  edit(strings.commands[kind], (document) => {
    const now = pinned(document);
    return withLayout(now, scene(now).sheet, { [key]: entry });
  });
  useEditor.getState().select([key]);
}

/** Write a field of a frame or a note. */
export function setExtra(key: string, fields: Readonly<Record<string, Json | undefined>>, merge = ""): void {
  edit(strings.edits.note, (document) => withPlace(document, scene(document).sheet, key, fields), merge);
}

/** Give a wire other points to run through. */
export function setBends(wire: Wire, via: readonly Point[]): void {
  const rounded: Json = via.map(([x, y]) => [Math.round(x), Math.round(y)]);
  edit(strings.edits.move, (document) =>
    withPlace(document, scene(document).sheet, bendsKey(wire), { via: via.length ? rounded : undefined }));
}

/** The innermost frame at a place on the canvas, with the place as it is counted there. */
export function graphAt(
  place: Point, without: ReadonlySet<string> = new Set(), all: ReadonlyMap<string, Box> = boxesHere(),
): { readonly graph: Graph; readonly place: Point } {
  const { sheet } = here();
  let best: { graph: Graph; place: Point } = { graph: sheet.root, place };
  for (const box of all.values()) {
    if (without.has(box.shape.id)) continue;
    for (const frame of box.shape.frames) {
      const left = box.absolute[0] + frame.x;
      const top = box.absolute[1] + frame.y;
      const within = place[0] > left && place[1] > top && place[0] < left + frame.width && place[1] < top + frame.height;
      const owners = chain(frame.graph).map((graph) => graph.owner);
      if (!within || owners.some((owner) => without.has(owner))) continue;
      if (chain(frame.graph).length <= chain(best.graph).length) continue;
      const origin = [box.absolute[0] + frame.origin[0], box.absolute[1] + frame.origin[1]] as const;
      best = { graph: frame.graph, place: [Math.max(0, place[0] - origin[0]), Math.max(0, place[1] - origin[1])] };
    }
  }
  return best;
}

/** Whether a link names a node, not the input of a body. */
export function nodeOfLink(link: string): string {
  return link.includes(".") ? parts(link).node : "";
}

/** What the clipboard holds: a text, or a picture. A browser may not let us read it. */
async function clipboard(): Promise<string | Blob> {
  if (!("read" in navigator.clipboard)) return (navigator.clipboard as Clipboard).readText();
  for (const item of await navigator.clipboard.read()) {
    if (item.types.includes("text/plain")) return (await item.getType("text/plain")).text();
    const picture = item.types.find((type) => type.startsWith("image/"));
    if (picture) return item.getType(picture);
  }
  return "";
}

/** Paste what was copied here, or what another tab, window or program has put on the clipboard: nodes, or a picture. */
export async function pasteHere(place: Point, graph: Graph, wired: boolean): Promise<void> {
  let from = clip;
  try {
    const text = await clipboard();
    if (typeof text !== "string") {
      const { addPicture } = await import("@/canvas/pictures");
      perform(addPicture(text, place, graph), strings.widgets.uploadFailed);
      return;
    }
    const found = text.startsWith(CLIP) ? parse(text) : null;
    const given = isObject(found) ? found["graphengine"] : undefined;
    if (isObject(given) && isObject(given["nodes"]) && isObject(given["layout"])) {
      from = { nodes: given["nodes"], layout: given["layout"] };
    }
  } catch {
    // the browser does not let us read it; what was copied in this window is still there
  }
  paste(place, graph, wired, from);
}

/** Take the selected nodes out of the loop in which they stand. Says why it cannot be, or nothing. */
export function takeOut(): string {
  const [first] = selectedNodes();
  const outer = first?.graph.parent;
  if (!first || !outer) return "";
  const all = boxesHere();
  const home = outer.owner ? all.get(outer.owner) : undefined;
  const frame = home?.shape.frames.find((frame) => frame.graph === outer);
  const corner = home && frame ? [home.absolute[0] + frame.origin[0], home.absolute[1] + frame.origin[1]] as const : [0, 0] as const;
  const ids = selectedNodes().filter((node) => node.graph === first.graph).map((node) => node.id);
  const owner = all.get(first.graph.owner);
  const places = new Map(ids.map((id): [string, Point] => {
    const box = all.get(id);
    const above = owner ? owner.absolute[1] - (box?.shape.height ?? 0) - 30 : 0;
    return [id, [(box?.absolute[0] ?? 0) - corner[0], above - corner[1]]];
  }));
  return moveInto(ids, outer, places);
}

/** Give a node another id, in every link and name. */
export function rename(id: string, next: string): void {
  edit(strings.edits.rename, (document) => renamedNode(pinned(document), shownSheet(activeTab()).name, id, next));
  const { computed } = useCanvas.getState();
  const place = computed.get(id);
  if (place) useCanvas.setState({ computed: new Map([...computed, [next, place]]) });
  useEditor.getState().select([next]);
}

/** Give an input of a body another name, also where its nodes use it. */
export function renameParam(body: Graph, old: string, name: string): void {
  edit(strings.edits.rename, (document) => renamedParam(document, body, old, name));
}
