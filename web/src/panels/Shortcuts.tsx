/** The sheet of all shortcuts, made from the commands that there are. */
import { useState } from "react";
import { useCommands, type Command } from "@/commands";
import { Dialog } from "@/panels/Dialog";
import { shownKeys } from "@/panels/keys";
import { useSettings } from "@/store/settings";
import { strings } from "@/strings";
import "@/panels/shortcuts.css";

const words = strings.panels.shortcuts;

export default function Shortcuts() {
  const commands = useCommands((state) => state.commands);
  const [filter, setFilter] = useState("");
  const groups = new Map<string, Command[]>();
  for (const command of commands.values()) {
    if (!command.keys?.length || !command.title.toLowerCase().includes(filter.toLowerCase())) continue;
    groups.set(command.group, [...(groups.get(command.group) ?? []), command]);
  }
  return (
    <Dialog title={words.title} onClose={() => useSettings.getState().setSheet(false)} className="shortcuts">
      <input
        type="search"
        className="filter"
        aria-label={words.filter}
        placeholder={words.filter}
        value={filter}
        onChange={(event) => setFilter(event.target.value)}
      />
      <div className="shortcut-groups">
        {[...groups].map(([group, members]) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {members.map((command) => (
                <div key={command.id}>
                  <dt>{command.title}</dt>
                  <dd>{command.keys?.map((keys) => <kbd key={keys}>{shownKeys(keys)}</kbd>)}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
