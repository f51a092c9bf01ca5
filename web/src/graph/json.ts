/**
 * JSON that loses nothing: a file that is read and written again has the same numbers and the same order of keys.
 *
 * JavaScript cannot tell 5.0 from 5, moves keys such as "1" to the front, and rounds long whole numbers. So
 * a number that JavaScript would write differently is a `Exact`, and a key that it would move is kept under another
 * name inside (`inner`). Everything else is plain data.
 */

/** A number whose text JavaScript would not write by itself: 5.0, 1e-05, 12345678901234567890. */
export class Exact {
  constructor(
    readonly text: string,
    readonly value: number,
  ) {}
}

export type Json = null | boolean | number | string | Exact | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** Whether a value is a JSON object. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Exact);
}
