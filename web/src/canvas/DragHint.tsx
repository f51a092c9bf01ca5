import { useCanvas } from "@/canvas/store";
import { strings } from "@/strings";

/** While nodes are dragged into a loop or out of one: what will become of them, at the pointer. */
export function DragHint() {
  const landing = useCanvas((state) => state.landing);
  if (!landing) return null;
  const { at, out, problem } = landing;
  const { goesIn, goesOut, staysIn, staysOut } = strings.canvas;
  const text = problem ? (out ? staysIn : staysOut)(problem) : out ? goesOut : goesIn;
  return (
    <div className={problem ? "hint-at bad" : "hint-at"} role="status" style={{ left: Math.min(at[0] + 16, window.innerWidth - 336), top: at[1] + 16 }}>
      {text}
    </div>
  );
}
