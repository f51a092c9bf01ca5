/** The commands of the panels. */
import { useCommands, type Command } from "@/commands";
import { askText } from "@/panels/question";
import { closeTab, newTab } from "@/panels/Tabs";
import { chooseFiles, download, saveActive, slug, titleOf } from "@/session/files";
import { perform } from "@/session/refresh";
import { cancelActive, runActive } from "@/session/running";
import { activeTab, untouched, useEditor } from "@/store/editor";
import { useSettings, type Panel } from "@/store/settings";
import { strings } from "@/strings";

const { files, rail, run, shortcuts, tabs, bar } = strings.panels;
const { groups, undo, redo } = strings.commands;

async function saveAs(): Promise<void> {
  const name = await askText(files.saveAsName, slug(titleOf(activeTab())), files.save, "[a-z0-9][a-z0-9_\\-]{0,79}");
  if (name !== null) await saveActive(name);
}

async function rename(): Promise<void> {
  const title = await askText(files.renameTitle, titleOf(activeTab()), files.rename.replace("…", ""));
  if (title !== null) useEditor.getState().edit(files.rename, (document) => ({ ...document, name: title }));
}

function toggle(panel: Panel): () => void {
  return () => {
    const { panel: now, setPanel } = useSettings.getState();
    setPanel(now === panel ? null : panel);
  };
}

function step(by: number): void {
  const { tabs, active, activate } = useEditor.getState();
  const next = tabs[(tabs.findIndex((tab) => tab.id === active) + by + tabs.length) % tabs.length];
  if (next) activate(next.id);
}

function otherView(): void {
  useEditor.getState().setView(activeTab().view === "form" ? "graph" : "form");
}

/** Show the workflow itself, where it can be seen; again hides it. */
function about(): void {
  const { view, selection } = activeTab();
  const { about: now, setAbout } = useSettings.getState();
  const seen = now && view === "graph" && !selection.size;
  setAbout(!seen);
  if (seen) return;
  useEditor.getState().setView("graph");
  useEditor.getState().select([]);
}

const FILE = "File";
const RUN = "Run";
const SHOW = "Show";

const COMMANDS: readonly Command[] = [
  { id: "file.new", title: files.fresh, group: FILE, keys: ["alt+n"], everywhere: true, run: newTab },
  { id: "file.open", title: files.open, group: FILE, keys: ["mod+o"], everywhere: true, run: chooseFiles },
  {
    id: "file.save", title: files.save, group: FILE, keys: ["mod+s"], everywhere: true,
    run: () => perform(saveActive(), files.saveFailed),
  },
  {
    id: "file.save-as", title: files.saveAs, group: FILE, keys: ["mod+shift+s"], everywhere: true,
    run: () => perform(saveAs(), files.saveFailed),
  },
  { id: "file.rename", title: files.rename, group: FILE, run: () => void rename() },
  {
    id: "file.about", title: strings.inspector.about, group: FILE, keys: ["alt+i"], everywhere: true,
    run: about, enabled: () => !untouched(activeTab()),
  },
  { id: "file.download", title: files.download, group: FILE, run: download },
  { id: "tab.close", title: tabs.closeThis, group: FILE, keys: ["alt+w"], everywhere: true, run: () => void closeTab(activeTab()) },
  { id: "tab.next", title: tabs.next, group: FILE, keys: ["alt+pagedown"], everywhere: true, run: () => step(1) },
  { id: "tab.previous", title: tabs.previous, group: FILE, keys: ["alt+pageup"], everywhere: true, run: () => step(-1) },
  { id: "run.run", title: run.run, group: RUN, keys: ["mod+enter"], everywhere: true, run: () => runActive() },
  { id: "run.cancel", title: run.cancelTitle, group: RUN, keys: ["mod+shift+enter"], everywhere: true, run: cancelActive },
  {
    id: "undo", title: undo, group: groups.edit, keys: ["mod+z"],
    run: () => useEditor.getState().undo(), enabled: () => activeTab().past.length > 0,
  },
  {
    id: "redo", title: redo, group: groups.edit, keys: ["mod+shift+z", "mod+y"],
    run: () => useEditor.getState().redo(), enabled: () => activeTab().future.length > 0,
  },
  { id: "view.shortcuts", title: shortcuts.title, group: SHOW, keys: ["?"], run: () => useSettings.getState().setSheet(true) },
  { id: "view.form", title: `${bar.graph} / ${bar.form}`, group: SHOW, keys: ["alt+g"], everywhere: true, run: otherView },
  ...(["templates", "queue", "gallery", "problems", "models", "settings"] as const).map((panel, i) => ({
    id: `panel.${panel}`, title: rail[panel], group: SHOW, keys: [`alt+${i + 1}`], everywhere: true, run: toggle(panel),
  })),
];

/** Register them; gives a function that takes them out again. */
export function registerCommands(): () => void {
  return useCommands.getState().register(COMMANDS);
}
