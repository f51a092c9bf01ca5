/** Into which graph dragged nodes would go: that of the loop in which they are held, or out of their own. */
import { graphAt } from "@/canvas/actions";
import type { Landing } from "@/canvas/store";
import type { Drawn } from "@/canvas/useSketch";
import { chain, type Graph } from "@/graph/document";
import type { Point } from "@/graph/edit";
import { movedInto } from "@/graph/subgraph";

export interface Goal {
  readonly graph: Graph;
  /** Whether it is one around their own. */
  readonly out: boolean;
  /** Why they cannot stand there; empty where they can. */
  readonly problem: string;
}

/** How far below its top a node is held. */
const HELD = 20;
let asked: { readonly key: string; readonly scene: Drawn["scene"]; readonly problem: string } | null = null;

/** Where nodes of one graph would go; null where they stay in theirs. */
export function goalOf(ids: readonly string[], { boxes, scene }: Drawn): Goal | null {
  const nodes = ids.flatMap((id) => scene.sheet.nodes.get(id) ?? []);
  const [first] = nodes;
  const box = first && boxes.get(first.id);
  if (!first || !box || nodes.length < ids.length || nodes.some((node) => node.graph !== first.graph)) return null;
  const held: Point = [box.absolute[0] + box.shape.width / 2, box.absolute[1] + HELD];
  const { graph } = graphAt(held, new Set(ids), boxes);
  if (graph === first.graph) return null;
  const key = `${ids.join(" ")} > ${graph.path.join(" ")}`;
  if (asked?.key !== key || asked.scene !== scene) {
    const found = movedInto(scene, nodes.map(({ id }) => id), graph);
    asked = { key, scene, problem: typeof found === "string" ? found : "" };
  }
  return { graph, out: chain(first.graph).includes(graph), problem: asked.problem };
}

/** The same, as it is shown at the pointer. */
export function landingAt(at: Point, ids: readonly string[], drawn: Drawn): Landing | null {
  const goal = goalOf(ids, drawn);
  return goal && { at, owner: goal.graph.owner, port: goal.graph.port, out: goal.out, problem: goal.problem };
}
