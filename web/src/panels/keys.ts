/** Keys as they are written for people: "mod+shift+z" is Ctrl+Shift+Z, and ⌘⇧Z on a Mac. */

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const NAMES: Readonly<Record<string, string>> = {
  mod: MAC ? "⌘" : "Ctrl",
  shift: MAC ? "⇧" : "Shift",
  alt: MAC ? "⌥" : "Alt",
  arrowup: "↑",
  arrowdown: "↓",
  arrowleft: "←",
  arrowright: "→",
  escape: "Esc",
  delete: "Del",
  backspace: "⌫",
  enter: "Enter",
  space: "Space",
  tab: "Tab",
  pageup: "PgUp",
  pagedown: "PgDn",
  home: "Home",
  end: "End",
};

export function shownKeys(keys: string): string {
  const parts = keys === "+" ? ["+"] : keys.split("+");
  return parts.map((part) => NAMES[part] ?? part.toUpperCase()).join(MAC ? "" : "+");
}
