/** The bar at the top: file menu, tabs, view, undo, run. */
import { useEffect, useRef, useState } from "react";
import { run, useCommands } from "@/commands";
import { Button } from "@/panels/Button";
import { Icon } from "@/panels/Icon";
import { RunControls } from "@/panels/RunControls";
import { shownKeys } from "@/panels/keys";
import { Tabs } from "@/panels/Tabs";
import { activeTab, useEditor } from "@/store/editor";
import { strings } from "@/strings";

const words = strings.panels.bar;
/** The commands of the file menu. */
const FILE = ["file.new", "file.open", "file.save", "file.save-as", "file.rename", "file.about", "file.download"];

export function TopBar() {
  const view = useEditor((state) => activeTab(state).view);
  const past = useEditor((state) => activeTab(state).past.length > 0);
  const future = useEditor((state) => activeTab(state).future.length > 0);
  const { setView, undo, redo } = useEditor.getState();
  return (
    <header className="top-bar">
      <FileMenu />
      <Tabs />
      <div className="undo-group">
        <Button icon="undo" label={words.undo} disabled={!past} onClick={undo} />
        <Button icon="redo" label={words.redo} disabled={!future} onClick={redo} />
      </div>
      <div className="segmented" role="group" aria-label={words.view}>
        <Button icon="graph" label={words.graph} pressed={view === "graph"} onClick={() => setView("graph")}>
          {words.graph}
        </Button>
        <Button icon="form" label={words.form} pressed={view === "form"} onClick={() => setView("form")}>
          {words.form}
        </Button>
      </div>
      <RunControls />
    </header>
  );
}

function FileMenu() {
  const [open, setOpen] = useState(false);
  const commands = useCommands((state) => state.commands);
  const place = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    list.current?.querySelector<HTMLElement>("button")?.focus();
    const outside = (event: PointerEvent) => {
      if (!place.current?.contains(event.target as Node)) setOpen(false);
    };
    window.addEventListener("pointerdown", outside);
    return () => window.removeEventListener("pointerdown", outside);
  }, [open]);
  const close = () => {
    setOpen(false);
    place.current?.querySelector<HTMLElement>("button")?.focus();
  };
  const move = (by: number) => {
    const items = [...(list.current?.querySelectorAll<HTMLElement>("button") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    items[(at + by + items.length) % items.length]?.focus();
  };
  return (
    <div className="file-menu" ref={place}>
      <button
        type="button"
        className="button mark"
        aria-label={words.menu}
        title={words.menu}
        aria-haspopup="menu"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        <Icon name="menu" />
      </button>
      {open && (
        <div
          role="menu"
          tabIndex={-1}
          aria-label={words.menu}
          className="menu"
          ref={list}
          onKeyDown={(event) => {
            if (event.key === "Escape") close();
            else if (event.key === "ArrowDown") move(1);
            else if (event.key === "ArrowUp") move(-1);
            else return;
            event.preventDefault();
            event.stopPropagation();
          }}
        >
          {FILE.map((id) => commands.get(id)).map((command) => command && (
            <button
              key={command.id}
              type="button"
              role="menuitem"
              tabIndex={-1}
              onClick={() => {
                close();
                run(command.id);
              }}
            >
              <span>{command.title}</span>
              {command.keys?.[0] && <kbd>{shownKeys(command.keys[0])}</kbd>}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
