/** Numbers as the file has them: a float is never mistaken for a whole number. */
import { Exact, type Json } from "@/graph/json";

/** A float as Python writes it: the shortest digits, with an exponent below 1e-4 and from 1e16 on. */
export function pythonFloat(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  if (value === 0) return "0.0";
  const sign = value < 0 ? "-" : "";
  const [mantissa = "", power = "0"] = Math.abs(value).toExponential().split("e");
  const digits = mantissa.replace(".", "");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const tail = digits.length > 1 ? `.${digits.slice(1)}` : "";
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${digits[0] ?? ""}${tail}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

/** A number for an input that wants floats: 5 is written as 5.0. */
export function real(value: number): Json {
  return Number.isInteger(value) ? new Exact(pythonFloat(value), value) : value;
}

/** The number that a value is; null for anything else. */
export function numeric(value: Json | undefined): number | null {
  if (typeof value === "number") return value;
  return value instanceof Exact ? value.value : null;
}
