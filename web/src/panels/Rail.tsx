/** The rail of panels at the side; on a small screen the bar at the bottom. */
import { useProblems, useServer } from "@/live/link";
import { Icon, type IconName } from "@/panels/Icon";
import { useCatalogue } from "@/store/catalogue";
import { activeTab, useEditor } from "@/store/editor";
import { useSettings, type Panel } from "@/store/settings";
import { strings } from "@/strings";

const words = strings.panels.rail;
const TOP: readonly Panel[] = ["templates", "queue", "gallery", "problems", "models"];

export function Rail() {
  const active = useEditor((state) => state.active);
  const waiting = useServer((state) => (state.line.counts["queued"] ?? 0) + (state.line.counts["running"] ?? 0));
  const packs = useCatalogue((state) => state.problems.length);
  const problems = (useProblems(active)?.length ?? 0) + packs;
  const count: Partial<Record<Panel, number>> = { queue: waiting, problems };
  return (
    <nav className="rail" aria-label={words.label}>
      <Views />
      {TOP.map((panel) => (
        <Item key={panel} panel={panel} count={count[panel] ?? 0} />
      ))}
      <span className="spread" />
      <button
        type="button"
        className="rail-item wide-only"
        title={`${words.shortcuts} (?)`}
        onClick={() => useSettings.getState().setSheet(true)}
      >
        <Icon name="shortcuts" />
        <span>{words.shortcuts}</span>
      </button>
      <Item panel="settings" count={0} />
    </nav>
  );
}

/** Form and graph, which the top bar has no room for on a small screen. */
function Views() {
  const view = useEditor((state) => activeTab(state).view);
  const panel = useSettings((state) => state.panel);
  const show = (next: "graph" | "form") => {
    useEditor.getState().setView(next);
    useSettings.getState().setPanel(null);
  };
  return (
    <>
      {(["form", "graph"] as const).map((one) => (
        <button
          key={one}
          type="button"
          className="rail-item narrow-only"
          aria-pressed={panel === null && view === one}
          onClick={() => show(one)}
        >
          <Icon name={one} />
          <span>{strings.panels.bar[one]}</span>
        </button>
      ))}
    </>
  );
}

function Item({ panel, count }: { readonly panel: Panel; readonly count: number }) {
  const open = useSettings((state) => state.panel === panel);
  return (
    <button
      type="button"
      className={`rail-item rail-${panel}`}
      aria-pressed={open}
      aria-label={count ? `${words[panel]}, ${count}` : words[panel]}
      title={words[panel]}
      onClick={() => useSettings.getState().setPanel(open ? null : panel)}
    >
      <Icon name={panel satisfies IconName} />
      <span aria-hidden="true">{words[panel]}</span>
      {count > 0 && <b className="badge" aria-hidden="true">{count}</b>}
    </button>
  );
}
