import { useStore } from "@xyflow/react";
import { useCanvas } from "@/canvas/store";
import { run } from "@/commands";
import { strings } from "@/strings";

/** Zoom, show all, snap. */
export function ZoomBar() {
  const zoom = useStore((state) => Math.round(state.transform[2] * 100));
  const snap = useCanvas((state) => state.snap);
  return (
    <div className="zoombar">
      <button type="button" aria-label={strings.canvas.zoomOut} onClick={() => run("zoom-out")}>−</button>
      <button type="button" className="amount" title={strings.commands.actualSize} onClick={() => run("actual-size")}>{zoom}%</button>
      <button type="button" aria-label={strings.canvas.zoomIn} onClick={() => run("zoom-in")}>+</button>
      <button type="button" aria-label={strings.canvas.fit} title={strings.canvas.fit} onClick={() => run("fit")}><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" /></svg></button>
      <button type="button" aria-label={strings.canvas.snap} title={strings.canvas.snap} aria-pressed={snap} onClick={() => run("snap")}><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M5.5 2v12M10.5 2v12M2 5.5h12M2 10.5h12" /></svg></button>
    </div>
  );
}
