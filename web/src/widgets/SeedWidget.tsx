import { numeric } from "@/graph/number";
import { activeTab, shownSheet, useEditor } from "@/store/editor";
import { seedMode, useSeeds, withSeedMode, type SeedMode } from "@/store/seeds";
import { NumberWidget } from "@/widgets/NumberWidget";
import type { WidgetProps } from "@/widgets/props";
import { strings } from "@/strings";

const MODES: readonly SeedMode[] = ["fixed", "random", "increment"];
const SIGNS: Readonly<Record<SeedMode, string>> = { fixed: "=", random: "?", increment: "+1" };

/** A seed, and what becomes of it after a run: it stays, is drawn anew, or counts up. */
export function SeedWidget(props: WidgetProps) {
  const { node, port, value } = props;
  const tab = useEditor((state) => state.active);
  const used = useSeeds((state) => state.used[`${tab} ${node}.${port.name}`]);
  const mode = useEditor((state) => {
    const shown = activeTab(state);
    return seedMode(shown.document, shownSheet(shown).name, node, port.name);
  });
  const next = MODES[(MODES.indexOf(mode) + 1) % MODES.length] ?? "fixed";
  const change = () => {
    const name = shownSheet(activeTab()).name;
    const seed = used ?? Math.floor(Math.random() * 2 ** 32);
    useEditor.getState().edit(strings.widgets.seedMode, (document) =>
      withSeedMode(document, name, node, port.name, next, seed));
  };
  return (
    <span className="field seed">
      {mode === "random"
        ? (
          <button type="button" className="drawn" disabled={used === undefined}
            title={used === undefined ? strings.widgets.drawn : strings.widgets.lastSeed(used)}
            onClick={() => props.onChange(used)}>
            {used ?? strings.widgets.drawn}
          </button>
        )
        : <NumberWidget {...props} value={numeric(value) === null ? undefined : value} />}
      <button type="button" className={`mode ${mode}`} onClick={change} title={strings.widgets.seed[mode]}
        aria-label={`${strings.widgets.seedMode}: ${strings.widgets.seed[mode]}`}>
        {SIGNS[mode]}
      </button>
    </span>
  );
}
