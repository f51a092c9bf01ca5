import { useConnection } from "@xyflow/react";
import { useEffect, useState } from "react";
import { here } from "@/canvas/actions";
import { fit } from "@/graph/connect";
import { sourceOf, targetOf } from "@/graph/wires";

/** While a wire is dragged over a socket that it does not fit: the reason, at the pointer. */
export function ConnectHint() {
  const reason = useConnection((connection) => {
    if (!connection.inProgress || connection.isValid !== false || !connection.toHandle) return "";
    const { fromHandle, toHandle } = connection;
    const [from, to] = fromHandle.type === "source" ? [fromHandle, toHandle] : [toHandle, fromHandle];
    if (from.type === to.type) return "";
    const scene = here();
    const source = sourceOf(scene, from.nodeId, from.id ?? "");
    const target = targetOf(to.nodeId, to.id ?? "");
    return source && target ? fit(scene, source, target).reason : "";
  });
  const [at, setAt] = useState<readonly [number, number]>([0, 0]);
  const active = useConnection((connection) => connection.inProgress);
  useEffect(() => {
    if (!active) return;
    const follow = (event: PointerEvent) => setAt([event.clientX, event.clientY]);
    window.addEventListener("pointermove", follow);
    return () => window.removeEventListener("pointermove", follow);
  }, [active]);
  if (!reason) return null;
  return <div className="hint-at bad" role="alert" style={{ left: Math.min(at[0] + 16, window.innerWidth - 336), top: at[1] + 16 }}>{reason}</div>;
}
