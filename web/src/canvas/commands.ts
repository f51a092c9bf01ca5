/** The commands of the canvas: everything that its keys, its menus and the shortcuts sheet offer. */
import type { ReactFlowInstance } from "@xyflow/react";
import * as actions from "@/canvas/actions";
import { boundsOf } from "@/canvas/draw";
import type { FlowEdge, FlowNode } from "@/canvas/flow";
import { useCanvas } from "@/canvas/store";
import type { Command } from "@/commands";
import type { Node } from "@/graph/document";
import type { Point } from "@/graph/edit";
import type { Box } from "@/graph/geometry";
import { activeTab, shownSheet, useEditor } from "@/store/editor";
import { strings } from "@/strings";

export interface CanvasTools {
  readonly flow: ReactFlowInstance<FlowNode, FlowEdge>;
  readonly element: () => HTMLElement | null;
  readonly pictured: () => ReadonlySet<string>;
  /** Show everything, or some nodes. */
  readonly fit: (ids?: readonly string[]) => void;
  /** Tell the user why something cannot be. */
  readonly tell: (text: string) => void;
}

function nodes(): Node[] {
  const tab = activeTab();
  const { nodes } = shownSheet(tab);
  return [...tab.selection].flatMap((id) => nodes.get(id) ?? []);
}

const one = () => nodes().length === 1;
const some = () => activeTab().selection.size > 0;
const anything = () => some() || useCanvas.getState().wires.size > 0;
const oneGraph = () => one() && (nodes()[0]?.type.startsWith("graph:") ?? false);
const inGraphView = () => activeTab().view === "graph";

/** Where new things go: at the pointer if it is over the canvas, else in the middle of it. */
function spot({ flow, element }: CanvasTools): { readonly screen: Point; readonly place: Point; readonly pointed: boolean } {
  const box = element()?.getBoundingClientRect();
  const [x, y] = useCanvas.getState().pointer;
  const inside = box && x > box.left && x < box.right && y > box.top && y < box.bottom;
  const screen: Point = inside ? [x, y] : [(box?.left ?? 0) + (box?.width ?? 800) / 2, (box?.top ?? 0) + (box?.height ?? 600) / 3];
  const at = flow.screenToFlowPosition({ x: screen[0], y: screen[1] });
  return { screen, place: [at.x, at.y], pointed: Boolean(inside) };
}

/** Open the palette for a place on the screen. */
export function openPalette({ flow }: Pick<CanvasTools, "flow">, screen: Point): void {
  const at = flow.screenToFlowPosition({ x: screen[0], y: screen[1] });
  const { graph, place } = actions.graphAt([at.x, at.y]);
  useCanvas.setState({ menu: null, refusal: null, palette: { at: screen, mode: { kind: "add", graph, place } } });
}

/** Open the palette by a key: at the pointer, or beside what is selected, or in the middle; a loop gets it inside. */
function openPaletteByKey(tools: CanvasTools): void {
  const { screen, pointed } = spot(tools);
  const [node, ...others] = nodes();
  const box = node && actions.boxesHere().get(node.id);
  if (pointed || !node || !box || others.length) {
    openPalette(tools, screen);
    return;
  }
  const [body] = Object.values(node.bodies);
  const graph = body ?? node.graph;
  const taken = [...actions.boxesHere().values()].filter(({ shape }) => graph.ids.includes(shape.id));
  const left = body ? 20 : box.at[0];
  const right = taken.reduce((edge, other) => Math.max(edge, other.at[0] + other.shape.width + GAP), left);
  const place: Point = body ? [right, 20] : free([box.at[0] + box.shape.width + GAP, box.at[1]], taken);
  const at = besideNode(tools, node.id);
  useCanvas.setState({ menu: null, refusal: null, palette: { at, mode: { kind: "add", graph, place, reveal: true } } });
}

const GAP = 60;
/** About how large a new node is. */
const ROOM: Point = [240, 160];

/** The first place below another one where nothing stands. */
function free([x, y]: Point, taken: readonly Box[]): Point {
  const below = taken
    .filter(({ at, shape }) => at[0] < x + ROOM[0] && at[0] + shape.width > x && at[1] < y + ROOM[1] && at[1] + shape.height > y)
    .map(({ at, shape }) => at[1] + shape.height + GAP / 2);
  return below.length ? free([x, Math.max(...below)], taken) : [x, y];
}

/** The middle of a node on the screen. */
function besideNode({ flow }: CanvasTools, id: string): Point {
  const box = actions.boxesHere().get(id);
  if (!box) return [200, 200];
  const at = flow.flowToScreenPosition({ x: box.absolute[0] + box.shape.width + 12, y: box.absolute[1] });
  return [at.x, at.y];
}

export function canvasCommands(tools: CanvasTools): readonly Command[] {
  const { groups, ...text } = strings.commands;
  const editor = useEditor.getState;
  const edit = (id: string, title: string, keys: readonly string[], run: () => void, enabled: () => boolean = some): Command =>
    ({ id, title, group: groups.edit, keys, run, enabled: () => inGraphView() && enabled() });
  const onNodes = (id: string, title: string, keys: readonly string[], run: () => void, enabled: () => boolean = () => nodes().length > 0): Command =>
    ({ id, title, group: groups.nodes, keys, run, enabled: () => inGraphView() && enabled() });
  const arrange = (id: string, title: string, keys: readonly string[], run: () => void, enabled: () => boolean = () => nodes().length > 1): Command =>
    ({ id, title, group: groups.arrange, keys, run, enabled: () => inGraphView() && enabled() });
  const view = (id: string, title: string, keys: readonly string[], run: () => void, enabled: () => boolean = () => true): Command =>
    ({ id, title, group: groups.view, keys, run, enabled: () => inGraphView() && enabled() });
  const paste = (wired: boolean) => {
    const at = actions.graphAt(spot(tools).place);
    void actions.pasteHere(at.place, at.graph, wired);
  };
  const told = (problem: string) => {
    if (problem) tools.tell(problem);
  };
  return [
    edit("copy", text.copy, ["mod+c"], actions.copy),
    edit("cut", text.cut, ["mod+x"], () => {
      actions.copy();
      actions.remove();
    }),
    edit("paste", text.paste, ["mod+v"], () => paste(false), () => true),
    edit("paste-wired", text.pasteWired, ["mod+shift+v"], () => paste(true), () => true),
    edit("duplicate", text.duplicate, ["mod+d"], actions.duplicate),
    edit("delete", text.remove, ["delete", "backspace"], actions.remove, anything),
    edit("all", text.all, ["mod+a"], () => editor().select(shownSheet(activeTab()).nodes.keys()), () => true),
    edit("add", text.add, ["space", "shift+a"], () => openPaletteByKey(tools), () => true),
    edit("find", text.find, ["mod+f"], () => {
      const { screen } = spot(tools);
      useCanvas.setState({ menu: null, palette: { at: [Math.max(200, screen[0] - 200), 120], mode: { kind: "find" } } });
    }, () => true),
    onNodes("connect", text.connect, ["c"], () => {
      const [node] = nodes();
      if (node) useCanvas.setState({ menu: null, palette: { at: besideNode(tools, node.id), mode: { kind: "connect", node: node.id } } });
    }, one),
    onNodes("rename", text.rename, ["f2", "r"], () => useCanvas.setState({ renaming: nodes()[0]?.id ?? "" }), one),
    onNodes("mute", text.mute, ["m"], () => actions.toggleState("muted")),
    onNodes("bypass", text.bypass, ["b"], () => actions.toggleState("bypassed")),
    onNodes("collapse", text.collapse, ["h"], () => actions.toggle("collapsed")),
    onNodes("inputs", text.inputs, ["i"], () => actions.toggle("open")),
    onNodes("subgraph", text.subgraph, ["mod+g"], () => told(actions.makeSubgraph())),
    onNodes("unpack", text.unpack, ["mod+shift+g"], actions.unpack, oneGraph),
    onNodes("enter", text.enter, ["enter"], () => {
      const [node] = nodes();
      if (node) editor().enter(node.type.slice("graph:".length), node.id);
    }, oneGraph),
    onNodes("take-out", text.takeOut, ["mod+shift+o"], () => told(actions.takeOut()), () => nodes().some((node) => node.graph.parent)),
    arrange("frame", text.frame, ["f"], () => actions.addFrame(spot(tools).place), () => true),
    arrange("note", text.note, ["n"], () => actions.addNote(spot(tools).place), () => true),
    arrange("tidy", text.tidy, ["t"], () => void actions.tidy(tools.pictured()), () => true),
    arrange("align-left", text.left, ["alt+arrowleft"], () => actions.align("left")),
    arrange("align-right", text.right, ["alt+arrowright"], () => actions.align("right")),
    arrange("align-top", text.top, ["alt+arrowup"], () => actions.align("top")),
    arrange("align-bottom", text.bottom, ["alt+arrowdown"], () => actions.align("bottom")),
    arrange("align-centre", text.centre, ["alt+c"], () => actions.align("centre")),
    arrange("align-middle", text.middle, ["alt+m"], () => actions.align("middle")),
    arrange("gaps-across", text.across, ["alt+h"], () => actions.align("across")),
    arrange("gaps-down", text.down, ["alt+v"], () => actions.align("down")),
    arrange("bend", text.bend, [], () => {
      const [id] = useCanvas.getState().wires;
      const wire = actions.wiresHere().find((wire) => wire.id === id);
      if (wire) actions.setBends(wire, [...wire.via, spot(tools).place]);
    }, () => useCanvas.getState().wires.size === 1),
    view("fit", text.fit, ["0", "home"], () => tools.fit()),
    view("fit-selection", text.fitSelection, ["."], () => tools.fit([...activeTab().selection]), some),
    view("zoom-in", text.zoomIn, ["+", "="], () => void tools.flow.zoomIn({ duration: 120 })),
    view("zoom-out", text.zoomOut, ["-"], () => void tools.flow.zoomOut({ duration: 120 })),
    view("actual-size", text.actualSize, ["1"], () => void tools.flow.zoomTo(1)),
    view("snap", text.snap, ["g"], () => useCanvas.setState((state) => ({ snap: !state.snap }))),
    view("leave", text.leave, ["alt+enter", "escape"], () => editor().leave(activeTab().inside.length - 1), () => activeTab().inside.length > 0),
  ];
}

/** A window that is too narrow to show a graph as a whole and legibly: there it begins at the left. */
const NARROW = 640;

/** The viewport that shows some boxes in a window. */
export function viewportFor(
  bounds: ReturnType<typeof boundsOf>, width: number, height: number,
): { readonly x: number; readonly y: number; readonly zoom: number } {
  if (!bounds) return { x: width / 2 - 100, y: height / 3, zoom: 1 };
  const room = width < NARROW ? 16 : 56;
  const whole = Math.min((width - room) / bounds.width, (height - room) / bounds.height);
  const zoom = Math.min(1, Math.max(width < NARROW ? 0.4 : 0.05, whole));
  if (zoom > whole && width < NARROW) return { zoom, x: room - bounds.x * zoom, y: (height - bounds.height * zoom) / 2 - bounds.y * zoom };
  return {
    zoom,
    x: (width - bounds.width * zoom) / 2 - bounds.x * zoom,
    y: (height - bounds.height * zoom) / 2 - bounds.y * zoom,
  };
}
