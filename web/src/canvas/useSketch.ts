/** The scene of the active tab as it is drawn: its boxes, its wires, and what React Flow gets of them. */
import { useEffect, useMemo, useRef } from "react";
import { placeNow, provideWires, restingPlace } from "@/canvas/actions";
import type { Sketch } from "@/canvas/draw";
import { flowEdges, flowNodes, type FlowEdge, type FlowNode } from "@/canvas/flow";
import { useCanvas } from "@/canvas/store";
import { NOTHING_SEEN, within, type Region } from "@/canvas/region";
import { prefixOf } from "@/canvas/useLiveId";
import { arranged, unplaced } from "@/graph/arrange";
import { scene as sceneOf, type Scene } from "@/graph/connect";
import type { Node } from "@/graph/document";
import { boxes as boxesOf, kindOf, type Box, type Shape } from "@/graph/geometry";
import { columns, dagre } from "@/graph/layouter";
import { routed } from "@/graph/routes";
import { wires as wiresOf, type Wire } from "@/graph/wires";
import { useLive, type NodeLive } from "@/live/store";
import { useCatalogue } from "@/store/catalogue";
import { activeTab, shownSheet, useEditor, type Tab } from "@/store/editor";
import { strings } from "@/strings";

/** Above this many nodes without a place, dagre is not asked by itself: it would take seconds. */
const MANY = 300;

export interface Drawn {
  readonly tab: Tab;
  readonly scene: Scene;
  readonly boxes: ReadonlyMap<string, Box>;
  readonly wires: readonly Wire[];
  readonly pictured: ReadonlySet<string>;
  readonly sketch: Sketch;
}

const NOTHING: Readonly<Record<string, NodeLive>> = {};

/** Which nodes have pictures, as one text. */
function picturedIn(tab: string, prefix: string) {
  return (state: ReturnType<typeof useLive.getState>): string =>
    Object.entries(state.tabs[tab] ?? NOTHING)
      .filter(([id, live]) => live.pictures?.length && id.startsWith(prefix) && !id.slice(prefix.length).includes("/"))
      .map(([id]) => id.slice(prefix.length)).sort().join(" ");
}

/** What the title of a node is. */
export function titleOf(scene: Scene, node: Node): string {
  return typeof node.data["title"] === "string" ? node.data["title"] : kindOf(scene, node).title;
}

export function useDrawn(): Drawn {
  const tab = useEditor(activeTab);
  const types = useCatalogue((state) => state.types);
  const name = shownSheet(tab).name;
  const prefix = prefixOf(tab.inside);
  const scene = useMemo(() => sceneOf(tab.document, name, types), [tab.document, name, types]);
  const picturedText = useLive(picturedIn(tab.id, prefix));
  const pictured = useMemo(() => new Set(picturedText.split(" ").filter(Boolean)), [picturedText]);
  const drag = useCanvas((state) => state.drag);
  const computed = useCanvas((state) => state.computed);
  usePlaces(`${tab.id} ${name}`, scene, pictured);

  const boxes = useMemo(
    () => boxesOf(scene, { pictured, place: placeNow, rest: restingPlace }),
    // `placeNow` reads `drag` and `computed`
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [scene, pictured, drag, computed],
  );
  const straight = useMemo(() => wiresOf(scene), [scene]);
  const laid = useCanvas((state) => state.laid);
  const wires = useMemo(() => routed(scene, straight, laid, boxes), [scene, straight, laid, boxes]);
  const wiresRef = useRef(wires);
  wiresRef.current = wires;
  useEffect(() => provideWires(() => wiresRef.current), []);

  const live = useLive((state) => state.tabs[tab.id]) ?? NOTHING;
  const wireTypes = useCatalogue((state) => state.wires);
  const sketch = useMemo<Sketch>(
    () => ({
      boxes, wires, live, prefix, types: wireTypes, selection: tab.selection,
      title: (id) => {
        const node = scene.sheet.nodes.get(id);
        return node ? titleOf(scene, node) : id;
      },
    }),
    [boxes, wires, live, prefix, wireTypes, tab.selection, scene],
  );
  return { tab, scene, boxes, wires, pictured, sketch };
}

/** What React Flow gets of it: what is in a region; nothing where all is one picture. */
export function useFlow({ tab, scene, boxes, wires }: Drawn, region: Region | null): {
  readonly nodes: FlowNode[];
  readonly edges: FlowEdge[];
} {
  const drag = useCanvas((state) => state.drag);
  const chosen = useCanvas((state) => state.wires);
  const seen = useMemo(
    () => (region ? within(region, scene.sheet, boxes, wires, tab.selection) : NOTHING_SEEN),
    [region, scene, boxes, wires, tab.selection],
  );
  const nodesBefore = useRef<ReadonlyMap<string, FlowNode>>(new Map());
  const nodes = useMemo(() => {
    const label = (shape: Shape, node: Node) => strings.canvas.node(titleOf(scene, node), shape.id);
    const found = flowNodes(scene, boxes, seen.ids, tab.selection, drag, nodesBefore.current, label);
    nodesBefore.current = found;
    return [...found.values()];
  }, [scene, boxes, seen, tab.selection, drag]);
  const edgesBefore = useRef<ReadonlyMap<string, FlowEdge>>(new Map());
  const edges = useMemo(() => {
    const found = flowEdges(seen.wires, chosen, edgesBefore.current);
    edgesBefore.current = found;
    return [...found.values()];
  }, [seen, chosen]);
  return { nodes, edges };
}

/** Work out places for nodes that have none: quickly first, then with dagre. */
function usePlaces(key: string, scene: Scene, pictured: ReadonlySet<string>): void {
  const ready = useCatalogue((state) => state.ready);
  const missing = unplaced(scene);
  const text = missing.length ? missing.join(" ") : "";
  const { computedFor } = useCanvas.getState();
  const full = `${key} ${ready ? "ready" : ""}`;
  const known = computedFor === full && missing.every((id) => useCanvas.getState().computed.has(id));
  if (text && !known) {
    const old = computedFor === full ? useCanvas.getState().computed : new Map();
    const wanted = new Set(missing.filter((id) => !old.has(id)));
    const { places } = arranged(scene, pictured, columns, (id) => wanted.has(id));
    queueMicrotask(() => useCanvas.setState({ computed: new Map([...old, ...places]), computedFor: full }));
  }
  useEffect(() => {
    if (!text || !ready || missing.length > MANY) return;
    let current = true;
    void dagre().then((layouter) => {
      if (!current) return;
      const wanted = new Set(text.split(" "));
      const laid = arranged(scene, pictured, layouter, (id) => wanted.has(id));
      useCanvas.setState({ computed: laid.places, laid, computedFor: full });
    });
    return () => {
      current = false;
    };
    // only when other nodes have no place
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [full, text, ready]);
}
