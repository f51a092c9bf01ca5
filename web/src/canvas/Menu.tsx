import { useEffect, useRef } from "react";
import { dismiss, useCanvas } from "@/canvas/store";
import { useCommands } from "@/commands";
import { strings } from "@/strings";

const BY_PLACE: Readonly<Record<string, readonly (readonly string[])[]>> = {
  node: [
    ["connect", "rename", "note-node", "inputs"],
    ["copy", "cut", "duplicate", "delete"],
    ["mute", "bypass", "collapse"],
    ["subgraph", "unpack", "enter", "take-out", "frame"],
    ["tidy"],
  ],
  canvas: [["add", "find"], ["paste", "paste-wired"], ["note", "frame"], ["tidy", "all", "fit"], ["leave"]],
  wire: [["bend", "delete"]],
  extra: [["copy", "cut", "duplicate", "delete"]],
};

/** The context menu: what can be done here. */
export function Menu() {
  const request = useCanvas((state) => state.menu);
  const commands = useCommands((state) => state.commands);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!request) return;
    const back = document.activeElement;
    box.current?.querySelector("button")?.focus();
    const close = (event: Event) => {
      if (!box.current?.contains(event.target as Element)) dismiss();
    };
    window.addEventListener("pointerdown", close);
    return () => {
      window.removeEventListener("pointerdown", close);
      if (back instanceof HTMLElement && document.activeElement === document.body) back.focus();
    };
  }, [request]);
  if (!request) return null;
  const groups = (BY_PLACE[request.on] ?? [])
    .map((ids) => ids.flatMap((id) => commands.get(id) ?? []).filter((command) => command.enabled?.() ?? true))
    .filter((group) => group.length);
  const move = (step: number) => {
    const all = [...(box.current?.querySelectorAll("button") ?? [])];
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    all[(at + step + all.length) % all.length]?.focus();
  };
  return (
    <div
      ref={box}
      className="context-menu"
      role="menu"
      tabIndex={-1}
      aria-label={strings.menu.label}
      style={{ left: Math.min(request.at[0], window.innerWidth - 270), top: Math.max(8, Math.min(request.at[1], window.innerHeight - heightOf(groups))) }}
      onKeyDown={(event) => {
        if (event.key === "ArrowDown") move(1);
        else if (event.key === "ArrowUp") move(-1);
        else if (event.key === "Escape" || event.key === "Tab") dismiss();
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    >
      {groups.map((group, i) => (
        <div key={i} role="group" className="part">
          {group.map((command) => (
            <button key={command.id} type="button" role="menuitem" onClick={() => {
              dismiss();
              command.run();
            }}>
              <span>{command.title}</span>
              {command.keys?.[0] && <kbd>{keysText(command.keys[0])}</kbd>}
            </button>
          ))}
        </div>
      ))}
    </div>
  );
}

/** About how high the menu is. */
function heightOf(groups: readonly (readonly unknown[])[]): number {
  return groups.flat().length * 31 + groups.length * 11 + 20;
}

const MAC = typeof navigator !== "undefined" && /mac/i.test(navigator.platform);

/** Keys as people read them. */
export function keysText(keys: string): string {
  return keys.split("+").map((key) => {
    if (key === "mod") return MAC ? "⌘" : "Ctrl";
    if (key === "shift") return MAC ? "⇧" : "Shift";
    return key.length === 1 ? key.toUpperCase() : key[0]?.toUpperCase() + key.slice(1);
  }).join(MAC ? "" : "+");
}
