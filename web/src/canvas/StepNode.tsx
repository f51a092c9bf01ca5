import type { NodeProps } from "@xyflow/react";
import { memo, useCallback } from "react";
import { setInput, setPlace } from "@/canvas/actions";
import { BodyFrame } from "@/canvas/BodyFrame";
import type { StepNode as Step } from "@/canvas/flow";
import { NodeHead } from "@/canvas/NodeHead";
import { NodePictures } from "@/canvas/NodePictures";
import { Socket } from "@/canvas/Socket";
import { useLiveId } from "@/canvas/useLiveId";
import { linksOf, literal } from "@/graph/document";
import { label, type Row } from "@/graph/geometry";
import type { Json } from "@/graph/json";
import { inSocket, outSocket } from "@/graph/wires";
import { useNodeLive } from "@/live/store";
import { useCatalogue } from "@/store/catalogue";
import { Field } from "@/widgets/Field";
import { strings } from "@/strings";

/** A node: its head, a line for each input and output, its widgets, the frames of its bodies, its pictures. */
export const StepNode = memo(function StepNode({ data, selected }: NodeProps<Step>) {
  const { shape, node, place, named } = data;
  const [tab, liveId] = useLiveId(node.id);
  const live = useNodeLive(tab, liveId);
  const known = useCatalogue((state) => !state.ready || state.types.has(node.type) || node.type.startsWith("graph:"));
  const state = typeof node.data["state"] === "string" ? node.data["state"] : "";
  const colour = typeof place["colour"] === "string" ? place["colour"] : undefined;
  const classes = ["step", state, selected ? "selected" : "", live?.mark ?? "", known ? "" : "unknown", shape.frames.length ? "loop" : ""];
  const linked = (name: string) => linksOf(node.inputs[name]).length > 0;
  return (
    <div className={classes.filter(Boolean).join(" ")} style={colour ? ({ "--own": colour } as React.CSSProperties) : undefined}>
      <NodeHead shape={shape} node={node} live={live} known={known} state={state} />
      {shape.rows.map((row) => <Line key={row.input?.name ?? `>${row.output?.[0] ?? ""}`} row={row} data={data} named={named} />)}
      {!shape.collapsed && (shape.hidden > 0 || place["open"] === true) && (
        <button type="button" className="more nodrag" style={{ top: moreTop(shape.rows) }}
          onClick={() => setPlace([node.id], { open: place["open"] === true ? undefined : true }, strings.commands.inputs)}>
          {place["open"] === true ? strings.canvas.fewer : strings.canvas.more(shape.hidden)}
        </button>
      )}
      {shape.frames.map((frame) => <BodyFrame key={frame.port.name} frame={frame} />)}
      {shape.picture !== null && live?.pictures && <NodePictures pictures={live.pictures} top={shape.picture} />}
      {shape.inputs.map((socket) => (
        <Socket key={socket.name} id={inSocket(socket.name)} {...socket} source={false} linked={linked(socket.name)}
          required={needed(shape.rows, socket.name) && node.inputs[socket.name] === undefined} />
      ))}
      {shape.outputs.map((socket) => (
        <Socket key={socket.name} id={outSocket(socket.name)} {...socket} source linked required={false} />
      ))}
    </div>
  );
});

function needed(rows: readonly Row[], name: string): boolean {
  const port = rows.find((row) => row.input?.name === name)?.input;
  return port !== null && port !== undefined && port.default === undefined && !port.optional;
}

function moreTop(rows: readonly Row[]): number {
  const last = rows.at(-1);
  return last ? last.top + last.height : 34;
}

function Line({ row, data, named }: { readonly row: Row; readonly data: Step["data"]; readonly named: string }) {
  const { input, output } = row;
  const { node } = data;
  const change = useCallback(
    (value: Json | undefined, merge?: string) => {
      if (input) setInput(node.id, input, value, merge);
    },
    [input, node.id],
  );
  const isNamed = input !== null && named.includes(`${input.name}=`);
  return (
    <div className={`line ${row.widget}`} style={{ top: row.top, height: row.height }}>
      {input && (
        <span className={isNamed ? "name named" : "name"} title={isNamed ? strings.inspector.named : undefined}>{label(input)}</span>
      )}
      {input && row.widget !== "none" && (
        <div className="widget nodrag">
          <Field port={input} value={literal(node.inputs[input.name])} onChange={change} node={node.id} type={node.type} bare />
        </div>
      )}
      {output && <span className="name out">{output[0].replace(/_/g, " ")}</span>}
    </div>
  );
}
