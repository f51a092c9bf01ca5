/** Seeds of a past run, and how they come into the workflow that is open. */
import type { JobDetail } from "@/api/schema";
import { put, sheet, type Document } from "@/graph/document";
import { isObject, type Json, type JsonObject } from "@/graph/json";
import { useCatalogue } from "@/store/catalogue";
import { useEditor } from "@/store/editor";
import { strings } from "@/strings";

export interface Seed {
  readonly node: string;
  readonly input: string;
  readonly value: number;
}

/** The seeds that a run was made with. */
export function seedsOf(job: JobDetail): Seed[] {
  return openSeeds(job.workflow as JsonObject).flatMap(({ node, input, value }) =>
    typeof value === "number" ? [{ node, input, value }] : [],
  );
}

/** Set these seeds in the active workflow: at the same nodes, else at its only one. Gives how many were set. */
export function setSeeds(seeds: readonly Seed[]): number {
  let count = 0;
  useEditor.getState().edit(strings.panels.gallery.seed, (document) => {
    const here = openSeeds(document);
    const same = seeds.filter((seed) => here.some((other) => other.node === seed.node && other.input === seed.input));
    const only = here.length === 1 && seeds.length ? here[0] : undefined;
    const wanted = same.length || !only ? same : [{ node: only.node, input: only.input, value: seeds[0]?.value ?? 0 }];
    count = wanted.length;
    const nodes = sheet(document)?.nodes;
    return wanted.reduce((next, seed) => {
      const node = nodes?.get(seed.node);
      return node ? put(next, [...node.path, "inputs", seed.input], seed.value) : next;
    }, document);
  });
  return count;
}

/** Every input for a seed that is not linked, with what stands there. */
export function openSeeds(document: Document): { node: string; input: string; value: Json | undefined }[] {
  const { types } = useCatalogue.getState();
  return [...(sheet(document)?.nodes.values() ?? [])].flatMap((node) =>
    (types.get(node.type)?.inputs ?? [])
      .filter((port) => port.ui?.widget === "seed" && !isObject(node.inputs[port.name]))
      .map((port) => ({ node: node.id, input: port.name, value: node.inputs[port.name] })),
  );
}
