/**
 * Everything that a key, a menu or a button can do, under one name. The canvas and the panels register
 * theirs; the shortcuts sheet and the menus list them.
 */
import { create } from "zustand";

export interface Command {
  readonly id: string;
  readonly title: string;
  readonly group: string;
  /** Such as "mod+z", "shift+d", "?", "space"; `mod` is Ctrl, or Command on a Mac. */
  readonly keys?: readonly string[];
  /** Whether the keys also work while a text field has the focus. */
  readonly everywhere?: boolean;
  readonly enabled?: () => boolean;
  readonly run: () => void;
}

export interface CommandState {
  readonly commands: ReadonlyMap<string, Command>;
  /** Add commands, or replace those of the same id. Gives a function that takes them out again. */
  register(commands: readonly Command[]): () => void;
}

export const useCommands = create<CommandState>()((set) => ({
  commands: new Map(),
  register: (added) => {
    set((state) => ({ commands: new Map([...state.commands, ...added.map((c) => [c.id, c] as const)]) }));
    return () =>
      set((state) => {
        const left = new Map(state.commands);
        for (const command of added) if (left.get(command.id) === command) left.delete(command.id);
        return { commands: left };
      });
  },
}));

/** Run a command by its id, if it is there and can run now. */
export function run(id: string): void {
  const command = useCommands.getState().commands.get(id);
  if (command && (command.enabled?.() ?? true)) command.run();
}

/** The keys of an event as they are written in a command. */
export function keysOf(event: KeyboardEvent): string {
  const key = event.key === " " ? "space" : event.key.toLowerCase();
  const letter = /^[a-z]$/.test(key) || key.length > 1;
  return [
    event.ctrlKey || event.metaKey ? "mod" : "",
    event.altKey ? "alt" : "",
    event.shiftKey && letter ? "shift" : "",
    key,
  ].filter(Boolean).join("+");
}

/** Whether an element takes typed text. */
export function takesText(target: EventTarget | null): boolean {
  return target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Run commands by their keys until the returned function is called. */
export function listen(): () => void {
  const handler = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.isComposing) return;
    const keys = keysOf(event);
    for (const command of useCommands.getState().commands.values()) {
      if (!command.keys?.includes(keys)) continue;
      if (takesText(event.target) && !command.everywhere) continue;
      if (!(command.enabled?.() ?? true)) continue;
      event.preventDefault();
      command.run();
      return;
    }
  };
  window.addEventListener("keydown", handler);
  return () => window.removeEventListener("keydown", handler);
}
