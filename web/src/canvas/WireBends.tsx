import { useReactFlow } from "@xyflow/react";
import { useState } from "react";
import { setBends } from "@/canvas/actions";
import type { Point } from "@/graph/edit";
import type { Wire } from "@/graph/wires";
import { strings } from "@/strings";

/** The points through which a wire runs: dragged to move them, double-clicked to take them out. */
export function WireBends({ wire, selected }: { readonly wire: Wire; readonly selected: boolean }) {
  const { screenToFlowPosition } = useReactFlow();
  const [moving, setMoving] = useState<{ readonly i: number; readonly at: Point } | null>(null);
  return wire.via.map((point, i) => {
    const [x, y] = moving?.i === i ? moving.at : point;
    return (
      <circle
        key={i}
        className={selected ? "bend nopan selected" : "bend nopan"}
        cx={x}
        cy={y}
        r={5}
        role="button"
        aria-label={strings.commands.bend}
        onPointerDown={(event) => {
          event.stopPropagation();
          event.currentTarget.setPointerCapture(event.pointerId);
          setMoving({ i, at: point });
        }}
        onPointerMove={(event) => {
          if (moving?.i !== i) return;
          const at = screenToFlowPosition({ x: event.clientX, y: event.clientY });
          setMoving({ i, at: [at.x, at.y] });
        }}
        onPointerUp={() => {
          if (moving) setBends(wire, wire.via.map((old, j) => (j === i ? moving.at : old)));
          setMoving(null);
        }}
        onDoubleClick={(event) => {
          event.stopPropagation();
          setBends(wire, wire.via.filter((_, j) => j !== i));
        }}
      />
    );
  });
}
