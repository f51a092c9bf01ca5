/** The bounds and steps of numbers, read off a port. */
import type { Port } from "@/graph/nodetype";

/** How far one press of an arrow key goes. */
export function stepOf(port: Port): number {
  if (port.ui?.step) return port.ui.step;
  if (port.schema?.multipleOf) return port.schema.multipleOf;
  if (port.type === "int") return 1;
  const { minimum, maximum } = port.schema ?? {};
  return minimum !== undefined && maximum !== undefined && maximum - minimum <= 2 ? 0.01 : 0.1;
}

/** A number within the bounds of a port, and on the steps that it must be on. */
export function clamped(value: number, port: Port): number {
  const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum, exclusiveMaximum, multipleOf } = port.schema ?? {};
  let found = Number(value.toPrecision(12));
  if (multipleOf) found = Number((Math.round(found / multipleOf) * multipleOf).toPrecision(12));
  const least = port.type === "int" ? 1 : stepOf(port);
  if (exclusiveMinimum !== undefined && found <= exclusiveMinimum) found = exclusiveMinimum + least;
  if (exclusiveMaximum !== undefined && found >= exclusiveMaximum) found = exclusiveMaximum - least;
  return Math.min(maximum, Math.max(minimum, found));
}

/** A number as people read it. */
export function plainly(value: number): string {
  return String(Number(value.toPrecision(12)));
}

/** Where a number is between its bounds, 0 to 1; on a logarithmic scale if the port asks for it. */
export function fraction(value: number, port: Port): number {
  const [low, high] = bounds(port);
  if (high <= low) return 0;
  if (port.ui?.scale === "log") {
    const shift = low > 0 ? 0 : LOWEST - low;
    return Math.log((value + shift) / (low + shift)) / Math.log((high + shift) / (low + shift));
  }
  return (value - low) / (high - low);
}

/** The number at a place between the bounds. */
export function valueAt(place: number, port: Port): number {
  const [low, high] = bounds(port);
  const step = stepOf(port);
  if (port.ui?.scale === "log") {
    const shift = low > 0 ? 0 : LOWEST - low;
    const found = (low + shift) * ((high + shift) / (low + shift)) ** place - shift;
    return Number(found.toPrecision(3));
  }
  return Number((low + Math.round(((high - low) * place) / step) * step).toPrecision(12));
}

const LOWEST = 0.01;

/** The bounds that a slider runs between. */
export function bounds(port: Port): readonly [number, number] {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = port.schema ?? {};
  return [minimum ?? exclusiveMinimum ?? 0, maximum ?? exclusiveMaximum ?? 1];
}
