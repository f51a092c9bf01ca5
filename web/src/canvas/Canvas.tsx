import {
  Background, ReactFlow, ReactFlowProvider, useReactFlow, useStore, SelectionMode, type EdgeChange, type NodeChange, type Viewport,
} from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { lazy, Suspense, useCallback, useEffect, useLayoutEffect, useRef, useState, type MouseEvent } from "react";
import { insertOn, move, moveInto } from "@/canvas/actions";
import { Breadcrumbs } from "@/canvas/Breadcrumbs";
import { canvasCommands, openPalette, viewportFor } from "@/canvas/commands";
import { ConnectHint } from "@/canvas/ConnectHint";
import { DragHint } from "@/canvas/DragHint";
import { boundsOf } from "@/canvas/draw";
import { FrameNode, NoteNode } from "@/canvas/ExtraNode";
import type { FlowEdge, FlowNode } from "@/canvas/flow";
import { goalOf, landingAt } from "@/canvas/landing";
import { MiniMap } from "@/canvas/MiniMap";
import { FAR, Overview } from "@/canvas/Overview";
import { regionOf, type Region } from "@/canvas/region";
import { StepNode } from "@/canvas/StepNode";
import { dismiss, useCanvas } from "@/canvas/store";
import { useConnecting } from "@/canvas/useConnecting";
import { useDrawn, useFlow, type Drawn } from "@/canvas/useSketch";
import { wireUnder } from "@/canvas/under";
import { WireEdge } from "@/canvas/WireEdge";
import { ZoomBar } from "@/canvas/ZoomBar";
import { useCommands } from "@/commands";
import type { Graph as Body } from "@/graph/document";
import type { Point } from "@/graph/edit";
import { originOf } from "@/graph/geometry";
import { activeTab, useEditor } from "@/store/editor";
import { tell as notify } from "@/store/notices";
import { useSettings } from "@/store/settings";
import { strings } from "@/strings";
import "@/canvas/canvas.css";

const loadOver = () => import("@/canvas/Over");
const Over = lazy(loadOver);
const loadPictures = () => import("@/canvas/pictures");
/** Say why something cannot be. */
const tell = (title: string) => notify({ kind: "info", title });
const NODES = { step: StepNode, frame: FrameNode, note: NoteNode };
const EDGES = { wire: WireEdge };
const GRID: [number, number] = [20, 20];
/** When what opens over the graph is fetched: the graph comes first. */
const IDLE = 1500;

/** The graph of the active tab. */
export function Canvas() {
  return (
    <ReactFlowProvider>
      <Graph />
    </ReactFlowProvider>
  );
}

function Graph() {
  const drawn = useDrawn();
  const { tab, boxes, scene, sketch } = drawn;
  const flow = useReactFlow<FlowNode, FlowEdge>();
  const element = useRef<HTMLElement>(null);
  const now = useRef(drawn);
  now.current = drawn;
  const snap = useCanvas((state) => state.snap);
  const far = useStore((state) => state.transform[2] < FAR);
  const region = useStore((state) => regionOf(...state.transform, state.width, state.height), sameRegion);
  const over = useCanvas((state) => state.palette !== null || state.menu !== null || state.refusal !== null);
  const [fitTo, viewed, fitted] = useView(drawn, element);

  useEffect(() => {
    const commands = canvasCommands({
      flow, element: () => element.current, pictured: () => now.current.pictured, fit: fitTo, tell,
    });
    return useCommands.getState().register(commands);
  }, [flow, fitTo]);
  useEffect(() => {
    const follow = (event: PointerEvent) => {
      useCanvas.setState({ pointer: [event.clientX, event.clientY] });
    };
    window.addEventListener("pointermove", follow, { passive: true });
    return () => window.removeEventListener("pointermove", follow);
  }, []);

  useEffect(() => {
    if (!element.current || !navigator.maxTouchPoints) return;
    const graph = element.current;
    let stop: (() => void) | undefined;
    let gone = false;
    void import("@/canvas/fingers").then(({ followFingers }) => {
      if (!gone) stop = followFingers(graph, flow);
    });
    return () => {
      gone = true;
      stop?.();
    };
  }, [flow]);
  useEffect(() => {
    const soon = setTimeout(() => void loadOver(), IDLE);
    return () => clearTimeout(soon);
  }, []);

  const onNodesChange = useCallback((changes: NodeChange<FlowNode>[]) => changeNodes(changes, now.current), []);
  const onEdgesChange = useCallback((changes: EdgeChange<FlowEdge>[]) => {
    const chosen = new Set(useCanvas.getState().wires);
    for (const change of changes) {
      if (change.type === "select") chosen[change.selected ? "add" : "delete"](change.id);
    }
    useCanvas.setState({ wires: chosen });
  }, []);
  const ends = useConnecting(now);
  const seen = useFlow(drawn, far || !viewed ? null : region);
  const anything = boxes.size > 0 || Object.keys(scene.sheet.layout).some((key) => key.includes(":"));
  const onMoveStart = useCallback(() => element.current?.classList.add("moving"), []);
  const onMoveEnd = useCallback((event: unknown, viewport: Viewport) => {
    element.current?.classList.remove("moving");
    if (!event && textOf(viewport) === fitted.current) return; // nobody chose it: better places may fit better
    useEditor.getState().setViewport(useEditor.getState().active, viewport);
  }, [fitted]);
  const place = useCallback(
    (at: Point): Point => {
      const { x, y } = flow.screenToFlowPosition({ x: at[0], y: at[1] });
      return [x, y];
    },
    [flow],
  );
  const openMenu = (event: MouseEvent | globalThis.MouseEvent, on: "node" | "canvas" | "wire" | "extra", id: string) => {
    event.preventDefault();
    useCanvas.setState({ palette: null, menu: { at: [event.clientX, event.clientY], on, id } });
  };

  return (
    <main ref={element} className={far ? "canvas graph far" : "canvas graph"} aria-label={strings.canvas.label}
      onDoubleClick={(event) => {
        const target = event.target as Element;
        if (target.matches(".react-flow__pane, .body, .overview")) openPalette({ flow }, [event.clientX, event.clientY]);
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        const files = [...event.dataTransfer.files];
        if (event.defaultPrevented || !files.length) return;
        event.preventDefault();
        const at = place([event.clientX, event.clientY]);
        void loadPictures().then(({ dropFiles }) => dropFiles(files, at));
      }}
      onClickCapture={(event) => {
        if (far && (event.target as Element).matches(".react-flow__pane")) selectAt(drawn, place([event.clientX, event.clientY]));
      }}
    >
      <ReactFlow<FlowNode, FlowEdge>
        nodes={seen.nodes}
        edges={seen.edges}
        nodeTypes={NODES}
        edgeTypes={EDGES}
        onNodesChange={onNodesChange}
        onEdgesChange={onEdgesChange}
        onMoveStart={onMoveStart}
        onMoveEnd={onMoveEnd}
        {...ends}
        onNodeDrag={(event, node, dragged) => {
          const touch = "changedTouches" in event ? event.changedTouches[0] : event;
          const at: Point = [touch?.clientX ?? 0, touch?.clientY ?? 0];
          useCanvas.setState({
            over: wireUnder(node.id, now.current)?.id ?? "", landing: landingAt(at, dragged.map(({ id }) => id), now.current),
          });
        }}
        onNodeContextMenu={(event, node) => {
          if (!activeTab().selection.has(node.id)) useEditor.getState().select([node.id]);
          openMenu(event, node.type === "step" ? "node" : "extra", node.id);
        }}
        onEdgeContextMenu={(event, edge) => {
          useCanvas.setState({ wires: new Set([edge.id]) });
          openMenu(event, "wire", edge.id);
        }}
        onPaneContextMenu={(event) => openMenu(event, "canvas", "")}
        onPaneClick={() => {
          dismiss();
          useCanvas.setState({ wires: new Set() });
        }}
        onlyRenderVisibleElements
        selectionMode={SelectionMode.Partial}
        selectionKeyCode="Shift"
        multiSelectionKeyCode={["Control", "Meta", "Shift"]}
        deleteKeyCode={null}
        zoomOnDoubleClick={false}
        snapToGrid={snap}
        snapGrid={GRID}
        minZoom={0.05}
        maxZoom={2.5}
        connectionRadius={22}
        reconnectRadius={12}
        zIndexMode="manual"
        nodeDragThreshold={2}
        attributionPosition="bottom-center"
      >
        {snap && !far && <Background gap={GRID} />}
        {far && <Overview sketch={sketch} />}
        <ZoomBar />
        <button type="button" className="add-here" aria-label={strings.commands.add} onClick={(event) => {
          const { left, top, width, height } = (element.current ?? event.currentTarget).getBoundingClientRect();
          openPalette({ flow }, [left + width / 2, top + height / 3]);
        }}>+</button>
        {boxes.size > 0 && <MiniMap sketch={sketch} />}
      </ReactFlow>
      <Breadcrumbs tab={tab} />
      {!anything && (
        <div className="blank">
          <b>{strings.canvas.empty}</b>
          <span>{strings.canvas.emptyHint}</span>
          <button type="button" className="button primary" onClick={() => useSettings.getState().setPanel("templates")}>
            {strings.canvas.begin}
          </button>
        </div>
      )}
      <ConnectHint />
      <DragHint />
      {over && <Suspense><Over place={place} /></Suspense>}
    </main>
  );
}

function sameRegion(a: Region, b: Region): boolean {
  return a.every((side, i) => side === b[i]);
}

/** Select what is at a place, when all is one picture. */
function selectAt({ boxes }: Drawn, [x, y]: Point): void {
  const hit = [...boxes.values()].reverse().find(({ absolute, shape }) =>
    x >= absolute[0] && y >= absolute[1] && x <= absolute[0] + shape.width && y <= absolute[1] + shape.height);
  useEditor.getState().select(hit ? [hit.shape.id] : []);
}

/** Selecting and dragging. While something is dragged its place is the canvas's own; where it is dropped is one edit. */
function changeNodes(changes: readonly NodeChange<FlowNode>[], drawn: Drawn): void {
  const { selection } = activeTab();
  let chosen: Set<string> | null = null;
  const drag = new Map(useCanvas.getState().drag ?? []);
  let dragged = false;
  const dropped = new Map<string, Point>();
  for (const change of changes) {
    if (change.type === "select") {
      chosen ??= new Set(selection);
      chosen[change.selected ? "add" : "delete"](change.id);
    } else if (change.type === "position" && change.position) {
      const at = inFrame(change.id, [change.position.x, change.position.y], drawn);
      if (change.dragging) {
        drag.set(change.id, at);
        dragged = true;
      } else dropped.set(change.id, at);
    }
  }
  if (chosen) useEditor.getState().select(chosen);
  if (dragged) useCanvas.setState({ drag });
  if (dropped.size) drop(dropped, drag.size > 0, drawn);
}

/** A place that React Flow counts from the node around, as the file counts it: from inside the frame. */
function inFrame(id: string, [x, y]: Point, { boxes, scene }: Drawn): Point {
  const graph = scene.sheet.nodes.get(id)?.graph;
  const frame = graph?.owner ? boxes.get(graph.owner)?.shape.frames.find((frame) => frame.graph === graph) : undefined;
  return frame ? [x - frame.origin[0], y - frame.origin[1]] : [x, y];
}

function drop(places: ReadonlyMap<string, Point>, byPointer: boolean, drawn: Drawn): void {
  const { over } = useCanvas.getState();
  const [only] = places.keys();
  const wire = byPointer && places.size === 1 ? drawn.wires.find((wire) => wire.id === over) : undefined;
  const nodes = [...places.keys()].filter((id) => drawn.scene.sheet.nodes.has(id));
  const goal = byPointer ? goalOf(nodes, drawn) : null;
  useCanvas.setState({ drag: null, over: "", landing: null });
  if (goal && !goal.problem) {
    const corner = originOf(goal.graph, drawn.boxes);
    const inner = new Map(nodes.map((id): [string, Point] => {
      const at = drawn.boxes.get(id)?.absolute ?? [0, 0];
      return [id, held([at[0] - corner[0], at[1] - corner[1]], goal.graph)];
    }));
    moveInto(nodes, goal.graph, inner);
    return;
  }
  if (goal && !goal.out) tell(goal.problem);
  const { sheet } = drawn.scene;
  move(new Map([...places].map(([id, at]) => [id, held(at, sheet.nodes.get(id)?.graph)])), byPointer ? "" : "nudge");
  if (wire && only !== undefined) insertOn(only, wire);
}

/** A place in a graph: in the body of a loop nothing stands left of its beginning or above it. */
function held([x, y]: Point, graph: Body | undefined): Point {
  return graph?.parent ? [Math.max(0, x), Math.max(0, y)] : [x, y];
}

/**
 * The viewport: where each tab was left, or so that all is seen. It is computed, because nothing is measured. Until it is
 * set nothing is drawn, or nodes would be drawn at a place that nobody looks at.
 */
function useView(
  { tab, boxes, scene }: Drawn, element: React.RefObject<HTMLElement | null>,
): readonly [(ids?: readonly string[]) => void, boolean, React.RefObject<string>] {
  const flow = useReactFlow<FlowNode, FlowEdge>();
  const computed = useCanvas((state) => state.computedFor);
  const placed = useCanvas((state) => state.computed);
  const now = useRef(boxes);
  now.current = boxes;
  const fitTo = useCallback((ids?: readonly string[]) => {
    const { width = 1200, height = 800 } = element.current?.getBoundingClientRect() ?? {};
    const all = ids?.length ? ids.flatMap((id) => now.current.get(id) ?? []) : [...now.current.values()];
    const viewport = viewportFor(boundsOf(all), width, height);
    void flow.setViewport(viewport);
    return viewport;
  }, [flow, element]);

  const home = `${tab.id} ${scene.sheet.name}`;
  const [shown, setShown] = useState("");
  const fitted = useRef("");
  const kept = useRef<{ readonly home: string; readonly placed: unknown }>({ home: "", placed: null });
  useLayoutEffect(() => {
    const before = kept.current;
    if (before.home === home && (before.placed === placed || tab.viewport)) return;
    kept.current = { home, placed };
    if (tab.viewport) void flow.setViewport(tab.viewport);
    else if (boxes.size) fitted.current = textOf(fitTo());
    else {
      const corner = { x: 0, y: 0, zoom: 1 }; // the first node stays where it is put
      void flow.setViewport(corner);
      fitted.current = textOf(corner);
    }
    setShown(home);
  }, [home, computed, placed, tab.viewport, boxes, flow, fitTo]);

  const width = useStore((state) => state.width);
  const before = useRef({ width, chosen: 0 });
  useEffect(() => {
    const narrower = width < before.current.width;
    const { selection, viewport } = activeTab();
    const panel = before.current.chosen === 0 && selection.size === 0; // else it is the inspector that comes or goes
    before.current = { width, chosen: selection.size };
    if (!viewport && panel && now.current.size) fitted.current = textOf(fitTo());
    const [only] = activeTab().selection.size === 1 ? activeTab().selection : [];
    const box = only === undefined ? undefined : now.current.get(only);
    if (!narrower || !box) return;
    const { x, y, zoom } = flow.getViewport();
    const right = (box.absolute[0] + Math.min(box.shape.width, 400)) * zoom + x;
    if (right > width - 24 && right < width + 700) void flow.setViewport({ x: x - (right - width + 24), y, zoom });
  }, [width, flow, fitTo]);

  const reveal = useEditor((state) => state.reveal);
  useEffect(() => {
    if (!reveal?.node || reveal.tab !== useEditor.getState().active) return;
    const box = now.current.get(reveal.node);
    if (!box) return;
    const zoom = Math.max(0.8, Math.min(1.2, flow.getZoom()));
    void flow.setCenter(box.absolute[0] + box.shape.width / 2, box.absolute[1] + Math.min(box.shape.height, 300) / 2, { zoom, duration: 200 });
  }, [reveal, flow]);
  return [fitTo, shown === home, fitted];
}

function textOf({ x, y, zoom }: Viewport): string {
  return `${x} ${y} ${zoom}`;
}
