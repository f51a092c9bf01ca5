/** Changes: what differs between two documents, so that an edit can be undone and done again. */
import { at, put, type Document, type Path } from "@/graph/document";
import { isObject, type Json, type JsonObject } from "@/graph/json";

/** One place with what stood there before and stands there after; undefined where nothing did. */
export interface Patch {
  readonly path: Path;
  readonly before: Json | undefined;
  readonly after: Json | undefined;
}

export interface Change {
  readonly label: string;
  /** Edits that follow each other with the same name here are undone as one: a slider that is dragged. */
  readonly merge: string;
  readonly patches: readonly Patch[];
}

/**
 * The patches from one document to another. Only what is not shared is looked at. Where keys came, went or moved, the
 * whole object is one patch, because their order belongs to the file.
 */
export function patches(before: Document, after: Document): Patch[] {
  const found: Patch[] = [];
  const stack: [JsonObject, JsonObject, Path][] = [[before, after, []]];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const [a, b, path] = next;
    if (a === b) continue;
    const keys = Object.keys(a);
    if (!sameKeys(keys, Object.keys(b))) {
      found.push({ path, before: a, after: b });
      continue;
    }
    for (const key of keys) {
      const [old, now] = [a[key], b[key]];
      if (Object.is(old, now)) continue;
      if (isObject(old) && isObject(now)) stack.push([old, now, [...path, key]]);
      else found.push({ path: [...path, key], before: old, after: now });
    }
  }
  return found;
}

/** The document before a change. */
export function undone(document: Document, change: Change): Document {
  return change.patches.reduceRight((now, patch) => put(now, patch.path, patch.before), document);
}

/** The document after a change. */
export function redone(document: Document, change: Change): Document {
  return change.patches.reduce((now, patch) => put(now, patch.path, patch.after), document);
}

/** Two changes as one. */
export function merged(first: Change, second: Change): Change {
  const [a, b] = [first.patches.at(-1), second.patches[0]];
  const one = second.patches.length === 1 && a && b && a.path.join("\n") === b.path.join("\n");
  const patches = one
    ? [...first.patches.slice(0, -1), { path: a.path, before: a.before, after: b.after }]
    : [...first.patches, ...second.patches];
  return { label: first.label, merge: second.merge, patches };
}

function sameKeys(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((key, i) => key === b[i]);
}

/** Whether a patch is about what only the editor needs. */
export function onlyLayout(change: Change): boolean {
  return change.patches.every((patch) => patch.path.includes("layout"));
}

/** The value that a patch would find now; for tests of what is shared. */
export function found(document: Document, patch: Patch): Json | undefined {
  return at(document, patch.path);
}
