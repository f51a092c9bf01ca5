/** The open workflows. */
import { useEffect, useRef } from "react";
import { blank } from "@/graph/document";
import { ended, useRuns } from "@/live/runs";
import { Button } from "@/panels/Button";
import { askSure } from "@/panels/question";
import { titleOf } from "@/session/files";
import { unsaved, useEditor, type Tab } from "@/store/editor";
import { strings } from "@/strings";

const words = strings.panels.tabs;

/** Close a tab; one with unsaved changes only if the person says so. */
export async function closeTab(tab: Tab): Promise<void> {
  if (unsaved(tab) && !(await askSure(words.discard(titleOf(tab)), words.discardYes))) return;
  useEditor.getState().close(tab.id);
  useRuns.getState().forgetTab(tab.id);
}

/** A new, empty tab. */
export function newTab(): void {
  useEditor.getState().open(blank(""));
}

export function Tabs() {
  const { tabs, active, activate } = useEditor();
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [active]);
  const step = (by: number) => {
    const at = tabs.findIndex((tab) => tab.id === active);
    const next = tabs[(at + by + tabs.length) % tabs.length];
    if (!next) return;
    activate(next.id);
    list.current?.querySelector<HTMLElement>(`[data-tab="${next.id}"]`)?.focus();
  };
  return (
    <div className="tabs">
      <div
        role="tablist"
        tabIndex={-1}
        aria-label={words.label}
        ref={list}
        onKeyDown={(event) => {
          if (event.key === "ArrowRight") step(1);
          else if (event.key === "ArrowLeft") step(-1);
          else if (event.key === "Delete") {
            const tab = tabs.find((one) => one.id === active);
            if (tab) void closeTab(tab);
          } else return;
          event.stopPropagation();
          event.preventDefault();
        }}
      >
        {tabs.map((tab) => (
          <TabButton key={tab.id} tab={tab} active={tab.id === active} />
        ))}
      </div>
      <Button icon="add" label={words.add} onClick={newTab} />
    </div>
  );
}

function TabButton({ tab, active }: { readonly tab: Tab; readonly active: boolean }) {
  const running = useRuns((state) => {
    const run = state.runs[state.shown[tab.id] ?? ""];
    return run !== undefined && !ended(run.state);
  });
  const title = titleOf(tab);
  const changed = unsaved(tab);
  return (
    <div className={`tab ${active ? "active" : ""}`} role="presentation">
      <button
        type="button"
        role="tab"
        data-tab={tab.id}
        aria-selected={active}
        tabIndex={active ? 0 : -1}
        aria-label={changed ? `${title}, ${words.unsaved}` : title}
        title={title}
        onClick={() => useEditor.getState().activate(tab.id)}
        onAuxClick={(event) => event.button === 1 && void closeTab(tab)}
      >
        {running && <span className="spinner" />}
        <span className="name">{title}</span>
        {changed && <span className="dot" />}
      </button>
      <button type="button" tabIndex={-1} className="tab-close" aria-hidden="true" onClick={() => void closeTab(tab)}>
        ×
      </button>
    </div>
  );
}
