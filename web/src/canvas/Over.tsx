import { Menu } from "@/canvas/Menu";
import { Palette } from "@/canvas/Palette";
import { RefusalBox } from "@/canvas/RefusalBox";
import type { Point } from "@/graph/edit";
import "@/canvas/over.css";

/** What opens over the graph: the palette, the menus, the reason why a wire was refused. Loaded after the graph is seen. */
export default function Over({ place }: { readonly place: (at: Point) => Point }) {
  return (
    <>
      <RefusalBox place={place} />
      <Palette />
      <Menu />
    </>
  );
}
