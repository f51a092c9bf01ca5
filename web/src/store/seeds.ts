/** Seeds: the ones that runs drew, and how each seed goes on after a run. */
import { create } from "zustand";
import { objectAt, sheet, type Document } from "@/graph/document";
import { withInput, withPlace } from "@/graph/edit";
import { numeric } from "@/graph/number";

export type SeedMode = "fixed" | "random" | "increment";

/** One more than any seed. */
const END = 2 ** 32;

interface SeedsState {
  /** By "tab node.input": what the last run used there. */
  readonly used: Readonly<Record<string, number>>;
  /** A run used these: "node.input" with the seed. */
  note(tab: string, seeds: Readonly<Record<string, number>>): void;
}

export const useSeeds = create<SeedsState>()((set) => ({
  used: {},
  note: (tab, seeds) =>
    set((state) => ({
      used: { ...state.used, ...Object.fromEntries(Object.entries(seeds).map(([key, seed]) => [`${tab} ${key}`, seed])) },
    })),
}));

/** How the seed at an input goes on: null is drawn anew, and "increment" stands in the layout. */
export function seedMode(document: Document, name: string, node: string, input: string): SeedMode {
  const found = sheet(document, name);
  if (found?.nodes.get(node)?.inputs[input] === null) return "random";
  return objectAt(found?.layout, [`${node}.${input}`])["seed"] === "increment" ? "increment" : "fixed";
}

/** Change how a seed goes on; a random one that becomes fixed begins with `seed`. */
export function withSeedMode(
  document: Document, name: string, node: string, input: string, mode: SeedMode, seed: number,
): Document {
  const found = sheet(document, name);
  const home = found?.nodes.get(node);
  if (!found || !home) return document;
  const now = numeric(home.inputs[input]);
  const value = mode === "random" ? null : (now ?? seed);
  const next = withInput(document, home, input, value);
  return withPlace(next, found, `${node}.${input}`, { seed: mode === "increment" ? "increment" : undefined });
}

/** The document for the next run: each seed that counts up has one more. Call it after a run was submitted. */
export function advanced(document: Document): Document {
  const found = sheet(document);
  let now = document;
  for (const [key, entry] of Object.entries(found?.layout ?? {})) {
    const dot = key.indexOf(".");
    if (dot < 0 || objectAt({ entry }, ["entry"])["seed"] !== "increment") continue;
    const node = found?.nodes.get(key.slice(0, dot));
    const seed = node && numeric(node.inputs[key.slice(dot + 1)]);
    if (node && typeof seed === "number") now = withInput(now, node, key.slice(dot + 1), (seed + 1) % END);
  }
  return now;
}
