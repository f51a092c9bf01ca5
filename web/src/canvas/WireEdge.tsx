import { BaseEdge, type EdgeProps } from "@xyflow/react";
import { memo } from "react";
import type { FlowEdge } from "@/canvas/flow";
import { lookOf } from "@/canvas/looks";
import { pathOf } from "@/canvas/path";
import { useCanvas } from "@/canvas/store";
import { courseOf } from "@/graph/wires";
import { useCatalogue } from "@/store/catalogue";
import { WireBends } from "@/canvas/WireBends";

/** A wire in the colour of its type; that of a list is drawn double. */
export const WireEdge = memo(function WireEdge(props: EdgeProps<FlowEdge>) {
  const { id, sourceX, sourceY, targetX, targetY, data, selected } = props;
  const wires = useCatalogue((state) => state.wires);
  const over = useCanvas((state) => state.over === id);
  const wire = data?.wire;
  if (!wire) return null;
  const look = lookOf(wire.type, wires);
  const path = pathOf([[sourceX, sourceY], ...courseOf(wire), [targetX, targetY]]);
  const classes = ["wire", look.list ? "list" : "", selected ? "selected" : "", over ? "over" : ""].filter(Boolean).join(" ");
  return (
    <g className={classes} style={{ "--wire": look.colour } as React.CSSProperties}>
      <BaseEdge id={id} path={path} interactionWidth={16} />
      {look.list && <path className="inner" d={path} />}
      {(selected || wire.via.length > 0) && <WireBends wire={wire} selected={selected === true} />}
    </g>
  );
});
