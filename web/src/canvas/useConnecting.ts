/** Drawing wires with the pointer: what fits, what is refused and why, what is dropped in the void. */
import {
  useReactFlow, type Connection, type FinalConnectionState, type IsValidConnection,
} from "@xyflow/react";
import { useMemo, useRef } from "react";
import { boxesHere, connect, graphAt, here, reconnect } from "@/canvas/actions";
import type { FlowEdge, FlowNode } from "@/canvas/flow";
import { dismiss, useCanvas } from "@/canvas/store";
import type { Drawn } from "@/canvas/useSketch";
import { entryFor, exitFor, fit, type Source, type Target } from "@/graph/connect";
import type { Point } from "@/graph/edit";
import { originOf } from "@/graph/geometry";
import { sourceOf, targetOf } from "@/graph/wires";

/** What happens while wires are drawn. */
export function useConnecting(now: React.RefObject<Drawn>) {
  const flow = useReactFlow<FlowNode, FlowEdge>();
  const reconnected = useRef(false);
  return useMemo(() => {
    const both = (connection: Pick<Connection, "source" | "target" | "sourceHandle" | "targetHandle">): readonly [Source, Target] | null => {
      const source = sourceOf(now.current.scene, connection.source, connection.sourceHandle ?? "");
      const target = targetOf(connection.target, connection.targetHandle ?? "");
      return source && target ? [source, target] : null;
    };
    let asked = "";
    let answer = false;
    const isValidConnection: IsValidConnection<FlowEdge> = (connection) => {
      const key = `${connection.source} ${connection.sourceHandle} ${connection.target} ${connection.targetHandle}`;
      if (key === asked) return answer;
      const found = both({ ...connection, sourceHandle: connection.sourceHandle ?? null, targetHandle: connection.targetHandle ?? null });
      asked = key;
      answer = found !== null && fit(now.current.scene, ...found).ok;
      return answer;
    };
    const onConnect = (connection: Connection) => {
      const found = both(connection);
      if (found) connect(...found);
    };
    const onConnectStart = () => {
      asked = "";
      dismiss();
    };
    const onConnectEnd = (event: globalThis.MouseEvent | TouchEvent, state: FinalConnectionState) => {
      if (state.isValid || !state.fromHandle || reconnected.current) return;
      const touch = "changedTouches" in event ? event.changedTouches[0] : event;
      const at: Point = [touch?.clientX ?? 0, touch?.clientY ?? 0];
      const { fromHandle, toHandle } = state;
      const scene = here();
      const gives = fromHandle.type === "source";
      const source = gives ? sourceOf(scene, fromHandle.nodeId, fromHandle.id ?? "") : null;
      const target = gives ? null : targetOf(fromHandle.nodeId, fromHandle.id ?? "");
      if (toHandle && toHandle.nodeId + toHandle.id !== fromHandle.nodeId + fromHandle.id) {
        if (toHandle.type === fromHandle.type) return;
        const other = gives ? targetOf(toHandle.nodeId, toHandle.id ?? "") : sourceOf(scene, toHandle.nodeId, toHandle.id ?? "");
        const [a, b] = gives ? [source, other as Target | null] : [other as Source | null, target];
        if (!a || !b) return;
        const { reason, converter } = fit(scene, a, b);
        if (reason) useCanvas.setState({ refusal: { at, reason, converter, source: a, target: b } });
        return;
      }
      const place = flow.screenToFlowPosition({ x: at[0], y: at[1] });
      const node = nodeAt([place.x, place.y], fromHandle.nodeId);
      if (node && source) {
        const entry = entryFor(scene, node, source);
        if (entry && connect(source, entry)) return;
      }
      if (node && target) {
        const exit = exitFor(scene, node, target);
        if (exit && connect(exit, target)) return;
      }
      const spot = graphAt([place.x, place.y]);
      const scope = source?.home ?? scene.sheet.nodes.get(target?.node ?? "")?.graph;
      const inScope = scope && (spot.graph === scope || inside(spot.graph, scope)) && (source !== null || spot.graph === scope);
      const graph = inScope ? spot.graph : (scope ?? spot.graph);
      const corner = inScope ? spot.place : ((c: Point): Point => [place.x - c[0], place.y - c[1]])(originOf(graph, now.current.boxes));
      useCanvas.setState({
        palette: { at, mode: { kind: "add", graph, place: corner, ...(source ? { from: source } : {}), ...(target ? { to: target } : {}) } },
      });
    };
    const onReconnectStart = () => {
      reconnected.current = true;
    };
    const onReconnect = (edge: FlowEdge, connection: Connection) => {
      const found = both(connection);
      const wire = edge.data?.wire;
      if (found && wire) reconnect(wire, ...found);
    };
    const onReconnectEnd = () => {
      reconnected.current = false;
    };
    return { isValidConnection, onConnect, onConnectStart, onConnectEnd, onReconnect, onReconnectStart, onReconnectEnd };
  }, [flow, now]);
}

/** The innermost node at a place, that is no loop's frame. */
function nodeAt([x, y]: Point, without: string): string | null {
  let found: string | null = null;
  for (const { absolute, shape } of boxesHere().values()) {
    const within = x >= absolute[0] && y >= absolute[1] && x <= absolute[0] + shape.width && y <= absolute[1] + shape.height;
    if (within && !shape.frames.length && shape.id !== without) found = shape.id;
  }
  return found;
}

/** Whether a graph lies in another one. */
function inside(inner: Drawn["scene"]["sheet"]["root"], outer: Drawn["scene"]["sheet"]["root"]): boolean {
  for (let graph = inner.parent; graph; graph = graph.parent) if (graph === outer) return true;
  return false;
}
