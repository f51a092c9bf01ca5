import { useStore } from "@xyflow/react";
import { useEffect, useRef } from "react";
import { draw, type Sketch } from "@/canvas/draw";
import { strings } from "@/strings";

/** Below this zoom the whole graph is one picture. */
export const FAR = 0.3;

/** The graph from far away: one picture instead of many nodes. */
export function Overview({ sketch }: { readonly sketch: Sketch }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [x, y, zoom] = useStore((state) => state.transform);
  const width = useStore((state) => state.width);
  const height = useStore((state) => state.height);
  useEffect(() => {
    if (canvas.current) draw(canvas.current, sketch, { x, y, zoom });
  }, [sketch, x, y, zoom, width, height]);
  return <canvas ref={canvas} className="overview" role="img" aria-label={strings.canvas.overview} />;
}
