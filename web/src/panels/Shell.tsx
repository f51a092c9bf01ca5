/** The whole page: bars and panels around the canvas or the form, dialogs over it. */
import { lazy, Suspense, useEffect } from "react";
import { Canvas } from "@/canvas/Canvas";
import { Banner } from "@/panels/Banner";
import { registerCommands } from "@/panels/commands";
import { DropZone } from "@/panels/DropZone";
import { Notices } from "@/panels/Notices";
import { QuestionDialog } from "@/panels/question";
import { Rail } from "@/panels/Rail";
import { SidePanel } from "@/panels/SidePanel";
import { TopBar } from "@/panels/TopBar";
import { useViewing } from "@/panels/viewing";
import { activeTab, untouched, useEditor } from "@/store/editor";
import { useSettings } from "@/store/settings";
import { strings } from "@/strings";
import "@/panels/panels.css";

const Inspector = lazy(() => import("@/canvas/Inspector"));
const FormView = lazy(() => import("@/panels/FormView"));
const Viewer = lazy(() => import("@/panels/Viewer"));
const Shortcuts = lazy(() => import("@/panels/Shortcuts"));

export function Shell() {
  const view = useEditor((state) => activeTab(state).view);
  const selected = useEditor((state) => activeTab(state).selection.size > 0);
  const viewing = useViewing((state) => state.first !== null);
  const sheet = useSettings((state) => state.sheet);
  const panel = useSettings((state) => state.panel);
  const about = useSettings((state) => state.about);
  const blank = useEditor((state) => untouched(activeTab(state)));
  useEffect(registerCommands, []);
  return (
    <div className={`shell ${view} ${panel ? "with-panel" : ""}`}>
      <a className="skip" href="#stage">{strings.panels.skip}</a>
      <TopBar />
      <Rail />
      <SidePanel />
      <div id="stage" className="work" tabIndex={-1}>
        {view === "form" ? <Suspense fallback={null}><FormView /></Suspense> : <Canvas />}
        <Banner />
      </div>
      <Suspense fallback={<div className="inspector-place" />}>{view === "graph" && (selected || (about && !blank)) && <Inspector />}</Suspense>
      <Notices />
      <DropZone />
      <QuestionDialog />
      <Suspense fallback={null}>
        {viewing && <Viewer />}
        {sheet && <Shortcuts />}
      </Suspense>
    </div>
  );
}
