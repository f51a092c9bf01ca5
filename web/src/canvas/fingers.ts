/** What fingers do on the graph, beyond what React Flow knows of them. Loaded where there is a touch screen. */
import type { Viewport } from "@xyflow/react";
import type { Point } from "@/graph/edit";

/** How long a finger stays before it has pressed, in milliseconds, and how far it may stray, in pixels. */
const LONG = 500;
const STRAY = 10;
/** How small and how large two fingers make the graph. */
const [LEAST, MOST] = [0.05, 2.5];

interface Eye {
  getViewport(): Viewport;
  setViewport(viewport: Viewport): unknown;
}

/**
 * A finger that stays opens the menu of what is under it, as the right button of a mouse does, also where the browser
 * has no such gesture. Two fingers move and zoom, wherever they are: on nodes too, which fill a small screen.
 * Gives a function that ends it.
 */
export function followFingers(element: HTMLElement, eye: Eye): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let from: Point = [0, 0];
  let pressed = false;
  let pinch: { readonly middle: Point; readonly gap: number; readonly viewport: Viewport } | null = null;
  const stop = () => clearTimeout(timer);
  const press = () => {
    pressed = true;
    const [clientX, clientY] = from;
    const event = new MouseEvent("contextmenu", { bubbles: true, cancelable: true, clientX, clientY });
    document.elementFromPoint(clientX, clientY)?.dispatchEvent(event);
  };
  const begin = (event: TouchEvent) => {
    stop();
    pressed = false;
    const [one, two] = event.touches;
    if (one && two) {
      pinch = { ...between(one, two), viewport: eye.getViewport() };
      event.stopPropagation();
    } else if (one) {
      from = [one.clientX, one.clientY];
      timer = setTimeout(press, LONG);
    }
  };
  const move = (event: TouchEvent) => {
    const [one, two] = event.touches;
    if (!pinch) {
      if (one && Math.hypot(one.clientX - from[0], one.clientY - from[1]) > STRAY) stop();
      return;
    }
    event.stopPropagation(); // also of the finger that is left, until it is lifted
    if (event.cancelable) event.preventDefault();
    if (!one || !two) return;
    const { left, top } = element.getBoundingClientRect();
    const { middle, gap } = between(one, two);
    const { viewport } = pinch;
    const zoom = Math.min(MOST, Math.max(LEAST, (viewport.zoom * gap) / pinch.gap));
    const scale = zoom / viewport.zoom;
    eye.setViewport({
      zoom,
      x: middle[0] - left - (pinch.middle[0] - left - viewport.x) * scale,
      y: middle[1] - top - (pinch.middle[1] - top - viewport.y) * scale,
    });
  };
  const end = (event: TouchEvent) => {
    stop();
    if (pressed && event.cancelable) event.preventDefault(); // no click follows
    pressed = false;
    if (!event.touches.length) pinch = null;
  };
  const on = { capture: true, passive: false } as const;
  element.addEventListener("touchstart", begin, on);
  element.addEventListener("touchmove", move, on);
  element.addEventListener("touchend", end, on);
  element.addEventListener("touchcancel", end, on);
  element.addEventListener("contextmenu", stop, on);
  return () => {
    stop();
    element.removeEventListener("touchstart", begin, on);
    element.removeEventListener("touchmove", move, on);
    element.removeEventListener("touchend", end, on);
    element.removeEventListener("touchcancel", end, on);
    element.removeEventListener("contextmenu", stop, on);
  };
}

function between(one: Touch, two: Touch): { readonly middle: Point; readonly gap: number } {
  return {
    middle: [(one.clientX + two.clientX) / 2, (one.clientY + two.clientY) / 2],
    gap: Math.max(1, Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY)),
  };
}
