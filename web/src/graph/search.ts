/** Searching: how well a node type, or anything with words, answers what was typed. */
import type { NodeType } from "@/graph/nodetype";
import { show } from "@/graph/wire";

export interface Entry<T> {
  readonly value: T;
  readonly title: string;
  /** Shown beside the title. */
  readonly detail: string;
  /** Other words by which it is found. */
  readonly words: string;
}

/** How well an entry answers: higher is better, 0 is not at all. Every word that was typed must occur. */
export function score(entry: Entry<unknown>, query: string): number {
  const title = entry.title.toLowerCase();
  const detail = entry.detail.toLowerCase();
  const all = `${title} ${detail} ${entry.words.toLowerCase()}`;
  let total = 1;
  for (const word of query.toLowerCase().split(/\s+/).filter(Boolean)) {
    if (title === word) total += 60;
    else if (title.startsWith(word)) total += 40;
    else if (new RegExp(`\\b${escaped(word)}`).test(title)) total += 30;
    else if (title.includes(word)) total += 20;
    else if (initials(title).startsWith(word)) total += 18;
    else if (detail.includes(word)) total += 12;
    else if (all.includes(word)) total += 5;
    else if (word.length > 2 && scattered(title, word)) total += 2;
    else return 0;
  }
  return total - title.length / 100;
}

/** The entries that answer, the best first; without a query all of them, in their order. */
export function searched<E extends Entry<unknown>>(entries: readonly E[], query: string): readonly E[] {
  if (!query.trim()) return entries;
  return entries
    .map((entry, i) => ({ entry, i, score: score(entry, query) }))
    .filter((row) => row.score > 0)
    .sort((a, b) => b.score - a.score || a.i - b.i)
    .map((row) => row.entry);
}

/** A node type as it is searched for. */
export function entryOf(kind: NodeType): Entry<NodeType> {
  const types = [...Object.values(kind.outputs), ...kind.inputs.map((port) => port.type)].map(show).join(" ");
  const [summary = ""] = kind.doc.split("\n");
  return {
    value: kind, title: kind.title, detail: kind.id,
    words: `${kind.category} ${kind.aliases.join(" ")} ${types} ${summary}`,
  };
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function initials(text: string): string {
  return text.split(/[\s_.]+/).map((word) => word[0] ?? "").join("");
}

function scattered(text: string, word: string): boolean {
  let at = -1;
  return [...word].every((letter) => (at = text.indexOf(letter, at + 1)) >= 0);
}
