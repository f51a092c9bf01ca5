import { Handle, Position } from "@xyflow/react";
import { memo } from "react";
import { lookOf } from "@/canvas/looks";
import type { TypeRef } from "@/graph/nodetype";
import { show } from "@/graph/wire";
import { useCatalogue } from "@/store/catalogue";
import { strings } from "@/strings";

interface SocketProps {
  readonly id: string;
  readonly name: string;
  readonly type: TypeRef;
  readonly x: number;
  readonly y: number;
  readonly source: boolean;
  readonly linked: boolean;
  readonly required: boolean;
}

/** Where wires begin and end: its colour and its shape say the type, a list has two of it. */
export const Socket = memo(function Socket({ id, name, type, x, y, source, linked, required }: SocketProps) {
  const wires = useCatalogue((state) => state.wires);
  const look = lookOf(type, wires);
  const say = source ? strings.canvas.output : strings.canvas.input;
  const classes = [
    "socket", look.sign, look.list ? "list" : "", look.open ? "open" : "", linked ? "linked" : "", required && !linked ? "required" : "",
  ].filter(Boolean).join(" ");
  return (
    <Handle
      id={id}
      type={source ? "source" : "target"}
      position={source ? Position.Right : Position.Left}
      className={classes}
      role="img"
      aria-label={say(name, show(type))}
      title={`${name}: ${show(type)}`}
      style={{ left: x, top: y, right: "auto", "--wire": look.colour } as React.CSSProperties}
    />
  );
});
