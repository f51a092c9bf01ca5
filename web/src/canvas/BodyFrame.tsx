import { memo } from "react";
import { lookOf } from "@/canvas/looks";
import { useCanvas } from "@/canvas/store";
import { Socket } from "@/canvas/Socket";
import { RAIL, type Frame } from "@/graph/geometry";
import { bodySocket, paramSocket } from "@/graph/wires";
import { useCatalogue } from "@/store/catalogue";
import { strings } from "@/strings";

const EDGE = 10;
const ROUND = 9;

/** The frame of a loop's body: what it is called with at the left, what it gives at the right, and the line back. */
export const BodyFrame = memo(function BodyFrame({ frame }: { readonly frame: Frame }) {
  const wires = useCatalogue((state) => state.wires);
  const { port, graph } = frame;
  const landing = useCanvas(({ landing }) =>
    landing?.owner === graph.owner && landing.port === port.name ? (landing.problem ? "closed" : "opened") : "");
  const right = frame.x + frame.width;
  const start = (x: number) => ({ left: x - frame.x, top: -frame.y });
  return (
    <>
      <div className={`body ${landing}`} style={{ left: frame.x, top: frame.y, width: frame.width, height: frame.height }}>
        <span className="port">{port.name === "body" ? "" : port.name.replace(/_/g, " ")}</span>
        {frame.params.map((socket) => (
          <span key={socket.name} className="rail in" style={{ left: 20, top: socket.y - frame.y - 14, width: RAIL - 46 }}
            title={frame.first[socket.name] ?? ""}>
            <b>{socket.name}</b>
            {frame.first[socket.name] !== undefined && <small>{frame.first[socket.name]}</small>}
          </span>
        ))}
        {frame.outputs.map((socket) => (
          <span key={socket.name} className="rail out"
            style={{ left: start(socket.x + 10).left, top: socket.y - frame.y - 14, width: RAIL - 46 }}>
            <b>{socket.name || strings.canvas.result}</b>
          </span>
        ))}
        {graph.ids.length === 0 && <span className="hint">{strings.canvas.bodyEmpty}</span>}
        <svg width={frame.width} height={frame.height} aria-hidden="true">
          {frame.carried.map(({ output, input }, lane) => {
            const from = frame.outputs.find((socket) => socket.name === output) ?? frame.outputs[0];
            const to = frame.params.find((socket) => socket.name === input);
            if (!from || !to) return null;
            const look = lookOf(to.type, wires);
            const low = frame.height - 20 - 8 * lane;
            const x1 = frame.width - EDGE - 4 * lane;
            const x2 = EDGE + 4 * lane;
            const [ya, yb] = [from.y - frame.y, to.y - frame.y];
            const path = `M${right - frame.x - 22} ${ya}H${x1 - ROUND}Q${x1} ${ya} ${x1} ${ya + ROUND}V${low - ROUND}` +
              `Q${x1} ${low} ${x1 - ROUND} ${low}H${x2 + ROUND}Q${x2} ${low} ${x2} ${low - ROUND}V${yb + ROUND}` +
              `Q${x2} ${yb} ${x2 + ROUND} ${yb}H20`;
            return (
              <g key={input} style={{ color: look.colour }}>
                <path className="back" d={path} />
                <path className="arrow" d={`M15 ${yb - 4}l6 4l-6 4`} />
                <text x={frame.width / 2} y={low - 5}>{strings.canvas.carried(output, input)}</text>
              </g>
            );
          })}
        </svg>
      </div>
      {frame.params.map((socket) => (
        <Socket key={`p${socket.name}`} id={paramSocket(port.name, socket.name)} {...socket} source linked required={false} />
      ))}
      {frame.outputs.map((socket) => (
        <Socket key={`b${socket.name}`} id={bodySocket(port.name, socket.name)} {...socket} source={false}
          linked={graph.outputs.length > 0} required={graph.outputs.length === 0} />
      ))}
    </>
  );
});
