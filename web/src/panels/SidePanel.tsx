/** The panel beside the rail; each is loaded when it is first opened. */
import { lazy, Suspense, useEffect, useId, useRef } from "react";
import { Button } from "@/panels/Button";
import { useSettings, type Panel } from "@/store/settings";
import { strings } from "@/strings";

const PANELS = {
  templates: lazy(() => import("@/panels/TemplatesPanel")),
  queue: lazy(() => import("@/panels/QueuePanel")),
  gallery: lazy(() => import("@/panels/GalleryPanel")),
  problems: lazy(() => import("@/panels/ProblemsPanel")),
  models: lazy(() => import("@/panels/ModelsPanel")),
  settings: lazy(() => import("@/panels/SettingsPanel")),
} satisfies Record<Panel, unknown>;

export function SidePanel() {
  const panel = useSettings((state) => state.panel);
  const heading = useId();
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    if (panel) ref.current?.focus();
  }, [panel]);
  if (!panel) return null;
  const Inside = PANELS[panel];
  const close = () => useSettings.getState().setPanel(null);
  return (
    // Escape closes it from anywhere inside.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <aside
      ref={ref}
      tabIndex={-1}
      className="side-panel"
      aria-labelledby={heading}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        close();
      }}
    >
      <header className="panel-head">
        <h2 id={heading}>{strings.panels.rail[panel]}</h2>
        <Button icon="close" label={strings.panels.close} onClick={close} />
      </header>
      <div className="panel-body">
        <Suspense fallback={null}>
          <Inside />
        </Suspense>
      </div>
    </aside>
  );
}
