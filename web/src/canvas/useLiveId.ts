/** The name under which a run speaks of a node: inside a sub-workflow after the node that runs it. */
import { activeTab, useEditor } from "@/store/editor";

/** The tab, and the node's id in a run: `upscale/resize`. */
export function useLiveId(id: string): readonly [string, string] {
  const tab = useEditor((state) => state.active);
  const prefix = useEditor((state) => prefixOf(activeTab(state).inside));
  return [tab, prefix + id];
}

export function prefixOf(inside: readonly { readonly node: string }[]): string {
  return inside.map(({ node }) => `${node}/`).join("");
}
