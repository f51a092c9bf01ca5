import { useReactFlow, useStore } from "@xyflow/react";
import { useEffect, useRef, type PointerEvent } from "react";
import { boundsOf, draw, type Sketch } from "@/canvas/draw";
import { strings } from "@/strings";

const WIDTH = 180;
const HEIGHT = 110;

/** A small map of the whole graph, with what is in view; a click or a drag goes there. */
export function MiniMap({ sketch }: { readonly sketch: Sketch }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { setCenter } = useReactFlow();
  const [x, y, zoom] = useStore((state) => state.transform);
  const width = useStore((state) => state.width);
  const height = useStore((state) => state.height);
  const bounds = boundsOf(sketch.boxes.values()) ?? { x: 0, y: 0, width: 1, height: 1 };
  const scale = Math.min((WIDTH - 12) / bounds.width, (HEIGHT - 12) / bounds.height, 0.12);
  const view = {
    x: (WIDTH - bounds.width * scale) / 2 - bounds.x * scale,
    y: (HEIGHT - bounds.height * scale) / 2 - bounds.y * scale,
    zoom: scale,
  };
  const { x: left, y: top } = view;
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      if (canvas.current) draw(canvas.current, { ...sketch, title: () => "" }, { x: left, y: top, zoom: scale });
    });
    return () => cancelAnimationFrame(frame);
  }, [sketch, left, top, scale]);
  const go = (event: PointerEvent<HTMLElement>) => {
    if (!(event.buttons & 1)) return;
    const box = event.currentTarget.getBoundingClientRect();
    void setCenter((event.clientX - box.left - view.x) / scale, (event.clientY - box.top - view.y) / scale, { zoom });
  };
  return (
    <div className="minimap" role="img" aria-label={strings.canvas.minimap} onPointerDown={go} onPointerMove={go}>
      <canvas ref={canvas} style={{ width: WIDTH, height: HEIGHT }} />
      <span className="view" style={{
        left: view.x + (-x / zoom) * scale, top: view.y + (-y / zoom) * scale,
        width: (width / zoom) * scale, height: (height / zoom) * scale,
      }} />
    </div>
  );
}
