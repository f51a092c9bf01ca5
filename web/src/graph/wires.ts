/** The wires of a sheet, as they are drawn: from a socket to a socket. */
import { linksOf, objectAt, parts, resolve } from "@/graph/document";
import type { Scene, Source, Target } from "@/graph/connect";
import type { Point } from "@/graph/edit";
import { pointOf } from "@/graph/geometry";
import type { TypeRef } from "@/graph/nodetype";
import { typeAt } from "@/graph/typing";

const NONE: readonly Point[] = [];

export interface Wire {
  readonly id: string;
  /** The node at whose socket it begins, and the socket: see `outSocket` and `paramSocket`. */
  readonly from: string;
  readonly fromSocket: string;
  readonly to: string;
  readonly toSocket: string;
  readonly type: TypeRef;
  readonly source: Source;
  readonly target: Target;
  /** Which item of a list it is; -1 where the value is the link. */
  readonly item: number;
  /** The bends that the file gives it. */
  readonly via: readonly Point[];
  /** The bends that take it around other nodes, where the nodes stand as they were laid out. */
  readonly route?: readonly Point[];
}

/** The points that a wire runs through. */
export const courseOf = (wire: Wire): readonly Point[] => (wire.via.length ? wire.via : wire.route ?? NONE);

/** The names of sockets: `i:` an input, `o:` an output, `p:` what a body is called with, `b:` what it gives. */
export const inSocket = (input: string) => `i:${input}`;
export const outSocket = (output: string) => `o:${output}`;
export const paramSocket = (port: string, name: string) => `p:${port}:${name}`;
export const bodySocket = (port: string, name: string) => `b:${port}:${name}`;

/** The source that a socket stands for; null for one where wires end. */
export function sourceOf(scene: Scene, node: string, socket: string): Source | null {
  const [kind, first = "", second = ""] = socket.split(":");
  const home = scene.sheet.nodes.get(node);
  if (!home) return null;
  if (kind === "o") return { link: `${node}.${first}`, home: home.graph };
  const body = home.bodies[first];
  return kind === "p" && body ? { link: second, home: body } : null;
}

/** The target that a socket stands for; null for one where wires begin. */
export function targetOf(node: string, socket: string): Target | null {
  const [kind, first = "", second = ""] = socket.split(":");
  if (kind === "i") return { node, input: first };
  return kind === "b" ? { node, input: second, body: first } : null;
}

/** All wires, in the file's order. A link that leads nowhere has none. */
export function wires(scene: Scene): Wire[] {
  const { sheet, typing } = scene;
  const found: Wire[] = [];
  const begin = (link: string, scope: Parameters<typeof resolve>[2]) => {
    const source = resolve(sheet, link, scope);
    if (!source) return null;
    const { node, output } = parts(link);
    if ("ids" in source) return { from: source.owner, fromSocket: paramSocket(source.port, node), home: source };
    return { from: source.id, fromSocket: outSocket(output), home: source.graph };
  };
  for (const node of sheet.nodes.values()) {
    for (const [input, value] of Object.entries(node.inputs)) {
      for (const { link, item } of linksOf(value)) {
        const start = begin(link, node.graph);
        if (!start) continue;
        const { home, ...from } = start;
        found.push({
          ...from,
          id: `${link}>${node.id}.${input}${item < 0 ? "" : `#${item}`}`,
          to: node.id,
          toSocket: inSocket(input),
          type: typeAt(sheet, typing, link, node.graph),
          source: { link, home },
          target: { node: node.id, input },
          item,
          via: bends(scene, `${node.id}.${input}`, item),
        });
      }
    }
    for (const [port, body] of Object.entries(node.bodies)) {
      for (const [name, link] of body.outputs) {
        const start = begin(link, body);
        if (!start) continue;
        const { home, ...from } = start;
        found.push({
          ...from,
          id: `${link}>${node.id}.${port}/${name}`,
          to: node.id,
          toSocket: bodySocket(port, name),
          type: typeAt(sheet, typing, link, body),
          source: { link, home },
          target: { node: node.id, input: name, body: port },
          item: -1,
          via: bends(scene, `${node.id}.${port}/${name}`, -1),
        });
      }
    }
  }
  return found;
}

/** The key under which the points of a wire stand in the layout. */
export function bendsKey(wire: Pick<Wire, "target" | "item">): string {
  const { node, input, body } = wire.target;
  const end = body === undefined ? `${node}.${input}` : `${node}.${body}/${input}`;
  return wire.item > 0 ? `${end}#${wire.item}` : end;
}

function bends(scene: Scene, end: string, item: number): readonly Point[] {
  const entry = objectAt(scene.sheet.layout, [item > 0 ? `${end}#${item}` : end]);
  const via = entry["via"];
  if (!Array.isArray(via)) return NONE;
  return via.map((point) => pointOf(point as never)).filter((point): point is Point => point !== undefined);
}
