/** The run button with how often, the stop button, and how far the run is. */
import { useId } from "react";
import { ended, useRuns, useShownRun } from "@/live/runs";
import { useLive } from "@/live/store";
import { Button } from "@/panels/Button";
import { Icon } from "@/panels/Icon";
import { cancelActive, runActive } from "@/session/running";
import { useEditor } from "@/store/editor";
import { useSettings } from "@/store/settings";
import { strings } from "@/strings";

const words = strings.panels.run;

export function RunControls() {
  const batch = useSettings((state) => state.batch);
  const active = useEditor((state) => state.active);
  const busy = useRuns((state) => Object.values(state.runs).some((run) => run.tab === active && !ended(run.state)));
  const field = useId();
  return (
    <div className="run-controls">
      <Progress tab={active} />
      {busy && (
        <Button icon="stop" label={words.cancelTitle} className="stop" onClick={cancelActive}>{words.cancel}</Button>
      )}
      <div className="run-group">
        <button type="button" className="button primary run" title={`${words.run} (Ctrl+Enter)`} onClick={() => runActive()}>
          <Icon name="run" />
          <span>{words.run}</span>
        </button>
        <label className="sr-only" htmlFor={field}>{words.batch}</label>
        <input
          id={field}
          className="batch"
          type="number"
          min={1}
          max={100}
          value={batch}
          title={words.batch}
          onChange={(event) => useSettings.getState().setBatch(event.target.valueAsNumber)}
        />
      </div>
    </div>
  );
}

/** How far the run is, or what a run would do. */
function Progress({ tab }: { readonly tab: string }) {
  const run = useShownRun(tab);
  const counts = useLive((state) => {
    const marks = Object.values(state.tabs[tab] ?? {}).map((node) => node.mark);
    return `${marks.filter((m) => m === "will-run").length} ${marks.filter((m) => m === "cached").length}`;
  });
  if (run && !ended(run.state)) {
    const part = run.total > 0 ? run.done / run.total : 0;
    const text = run.state === "queued" ? words.waiting : words.progress(run.through, run.steps.size, run.done, run.total);
    return (
      <span className="progress-text">
        {text}
        <progress className="progress-line" value={(run.through + part) / (run.steps.size || 1)} aria-label={text} />
      </span>
    );
  }
  const [left = 0, cached = 0] = counts.split(" ").map(Number);
  if (!left && !cached) return null;
  return <span className="progress-text quiet">{left ? words.plan(left, cached) : words.nothing}</span>;
}
