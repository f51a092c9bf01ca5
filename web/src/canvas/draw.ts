/** Drawing the whole graph small, on a canvas: for far away, and for the map in the corner. */
import { lookOf } from "@/canvas/looks";
import { reachOf } from "@/canvas/path";
import type { Point } from "@/graph/edit";
import type { Box, Shape } from "@/graph/geometry";
import type { TypeRef, WireType } from "@/graph/nodetype";
import { courseOf, type Wire } from "@/graph/wires";
import type { Mark, NodeLive } from "@/live/store";

export interface Sketch {
  readonly boxes: ReadonlyMap<string, Box>;
  readonly wires: readonly Wire[];
  readonly types: ReadonlyMap<string, WireType>;
  readonly selection: ReadonlySet<string>;
  readonly live: Readonly<Record<string, NodeLive>>;
  readonly prefix: string;
  readonly title: (id: string) => string;
}

/** The rectangle around some boxes. */
export interface Bounds {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function boundsOf(boxes: Iterable<Box>): Bounds | null {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { absolute: [x, y], shape } of boxes) {
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x + shape.width);
    bottom = Math.max(bottom, y + shape.height);
  }
  return right < left ? null : { x: left, y: top, width: right - left, height: bottom - top };
}

const palettes = new WeakMap<Element, { readonly theme: string; readonly colours: Readonly<Record<string, string>> }>();
const NAMES = ["node", "node-head", "line", "line-strong", "text", "quiet", "accent", "good", "bad", "cached", "canvas", "warn"];

/** The colours of the page as they are now. */
function coloursOf(element: HTMLElement): Readonly<Record<string, string>> {
  const theme = document.documentElement.dataset["theme"] ?? "";
  const known = palettes.get(element);
  if (known?.theme === theme) return known.colours;
  const style = getComputedStyle(element);
  const colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  palettes.set(element, { theme, colours });
  return colours;
}

const MARKS: Readonly<Record<Mark, string>> = {
  "will-run": "quiet", cached: "cached", running: "accent", done: "good", failed: "bad",
};

/** Draw everything that is in view. `view` says where the canvas begins and how large it is drawn. */
export function draw(element: HTMLCanvasElement, sketch: Sketch, view: { readonly x: number; readonly y: number; readonly zoom: number }): void {
  const context = element.getContext("2d");
  if (!context) return;
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const { clientWidth: width, clientHeight: height } = element;
  if (element.width !== Math.round(width * ratio) || element.height !== Math.round(height * ratio)) {
    element.width = Math.round(width * ratio);
    element.height = Math.round(height * ratio);
  }
  const colours = coloursOf(element);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(ratio * view.zoom, 0, 0, ratio * view.zoom, ratio * view.x, ratio * view.y);
  const [left, top] = [-view.x / view.zoom, -view.y / view.zoom];
  const [right, bottom] = [left + width / view.zoom, top + height / view.zoom];
  const seen = [...sketch.boxes.values()].filter(({ absolute: [x, y], shape }) =>
    x < right && y < bottom && x + shape.width > left && y + shape.height > top);

  for (const box of seen) if (box.shape.frames.length) drawBox(context, box, sketch, colours, view.zoom);
  drawWires(context, sketch, view.zoom, [left, top, right, bottom]);
  for (const box of seen) if (!box.shape.frames.length) drawBox(context, box, sketch, colours, view.zoom);
  if (view.zoom > 0.12) drawTitles(context, seen, sketch, colours, view.zoom);
}

function drawBox(
  context: CanvasRenderingContext2D, { shape, absolute: [x, y] }: Box, sketch: Sketch, colours: Readonly<Record<string, string>>, zoom: number,
): void {
  const live = sketch.live[sketch.prefix + shape.id];
  context.fillStyle = (shape.frames.length ? colours["canvas"] : colours["node"]) ?? "";
  context.fillRect(x, y, shape.width, shape.height);
  context.fillStyle = (live ? colours[MARKS[live.mark]] : colours["node-head"]) ?? "";
  context.fillRect(x, y, shape.width, Math.min(shape.height, live ? 12 : 28));
  const chosen = sketch.selection.has(shape.id);
  context.lineWidth = (chosen ? 2 : 1) / zoom;
  context.strokeStyle = (chosen ? colours["accent"] : colours["line-strong"]) ?? "";
  context.strokeRect(x, y, shape.width, shape.height);
}

function drawWires(context: CanvasRenderingContext2D, sketch: Sketch, zoom: number, view: readonly [number, number, number, number]): void {
  const byColour = new Map<string, Path2D>();
  const colours = new Map<string, string>();
  for (const wire of sketch.wires) {
    const [a, b] = [endOf(sketch.boxes, wire.from, wire.fromSocket), endOf(sketch.boxes, wire.to, wire.toSocket)];
    if (!a || !b) continue;
    if (Math.max(a[0], b[0]) < view[0] || Math.min(a[0], b[0]) > view[2] || Math.max(a[1], b[1]) < view[1] || Math.min(a[1], b[1]) > view[3]) continue;
    const colour = colourOf(wire.type, sketch.types, colours);
    let path = byColour.get(colour);
    if (!path) byColour.set(colour, (path = new Path2D()));
    let [ax, ay] = a;
    path.moveTo(ax, ay);
    for (const [bx, by] of [...courseOf(wire), b]) {
      const reach = reachOf(ax, ay, bx, by);
      path.bezierCurveTo(ax + reach, ay, bx - reach, by, bx, by);
      [ax, ay] = [bx, by];
    }
  }
  context.lineWidth = Math.max(1.6, 0.8 / zoom);
  for (const [colour, path] of byColour) {
    context.strokeStyle = colour;
    context.stroke(path);
  }
}

function colourOf(type: TypeRef, types: ReadonlyMap<string, WireType>, known: Map<string, string>): string {
  const key = typeof type === "string" ? type : JSON.stringify(type);
  let found = known.get(key);
  if (found === undefined) known.set(key, (found = lookOf(type, types).colour));
  return found;
}

/** By the sockets, which shapes that look alike share. */
const ends = new WeakMap<Shape["inputs"], Map<string, Point>>();

/** Where a socket is on the canvas. */
export function endOf(boxes: ReadonlyMap<string, Box>, id: string, socket: string): Point | null {
  const box = boxes.get(id);
  if (!box) return null;
  let known = ends.get(box.shape.inputs);
  if (!known) {
    const { shape } = box;
    known = new Map<string, Point>([
      ...shape.inputs.map((s) => [`i:${s.name}`, [s.x, s.y]] as const),
      ...shape.outputs.map((s) => [`o:${s.name}`, [s.x, s.y]] as const),
      ...shape.frames.flatMap((frame) => [
        ...frame.params.map((s) => [`p:${frame.port.name}:${s.name}`, [s.x, s.y]] as const),
        ...frame.outputs.map((s) => [`b:${frame.port.name}:${s.name}`, [s.x, s.y]] as const),
      ]),
    ]);
    ends.set(shape.inputs, known);
  }
  const at = known.get(socket);
  return at ? [box.absolute[0] + at[0], box.absolute[1] + at[1]] : null;
}

function drawTitles(
  context: CanvasRenderingContext2D, seen: readonly Box[], sketch: Sketch, colours: Readonly<Record<string, string>>, zoom: number,
): void {
  const size = Math.min(60, Math.max(26, 9.5 / zoom));
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.fillStyle = colours["text"] ?? "";
  context.textBaseline = "top";
  for (const { shape, absolute: [x, y] } of seen) {
    const room = Math.floor((shape.width - 16) / (size * 0.56));
    const text = sketch.title(shape.id);
    if (shape.height * zoom < 9) continue;
    context.fillText(text.length > room ? `${text.slice(0, Math.max(1, room - 1))}…` : text, x + 10, y + 14);
  }
}
