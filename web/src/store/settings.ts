/** What a person chose on this machine: theme, panels, batch count. Kept in the browser. */
import { create } from "zustand";

export type Theme = "system" | "dark" | "light";
export type Panel = "templates" | "queue" | "gallery" | "problems" | "models" | "settings";

export interface SettingsState {
  readonly theme: Theme;
  /** The side panel that is open; null for none. */
  readonly panel: Panel | null;
  /** How many runs the button asks for. */
  readonly batch: number;
  /** Whether the sheet of shortcuts is open. */
  readonly sheet: boolean;
  /** Whether the workflow itself is shown beside the graph while nothing is selected. */
  readonly about: boolean;
  setTheme(theme: Theme): void;
  setPanel(panel: Panel | null): void;
  setBatch(batch: number): void;
  setSheet(open: boolean): void;
  setAbout(open: boolean): void;
}

const KEY = "graphengine.settings";

interface Kept {
  readonly theme: Theme;
  readonly panel: Panel | null;
  readonly batch: number;
  readonly about: boolean;
}

/** As wide as a window is in which the graph does not miss the room. */
const ROOMY = 1900;

function kept(): Kept {
  const found: Kept = { theme: "system", panel: null, batch: 1, about: window.innerWidth >= ROOMY };
  try {
    return { ...found, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Kept>) };
  } catch {
    return found;
  }
}

export const useSettings = create<SettingsState>()((set) => ({
  ...kept(),
  sheet: false,
  setTheme: (theme) => set({ theme }),
  setPanel: (panel) => set({ panel }),
  setBatch: (batch) => set({ batch: Math.min(100, Math.max(1, Math.round(batch) || 1)) }),
  setSheet: (sheet) => set({ sheet }),
  setAbout: (about) => set({ about }),
}));

/** Keep what is chosen, and show the theme, until the returned function is called. */
export function keepSettings(): () => void {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    const { theme } = useSettings.getState();
    document.documentElement.dataset["theme"] = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
  };
  show();
  dark.addEventListener("change", show);
  const stop = useSettings.subscribe(({ theme, panel, batch, about }) => {
    localStorage.setItem(KEY, JSON.stringify({ theme, panel, batch, about } satisfies Kept));
    show();
  });
  return () => {
    dark.removeEventListener("change", show);
    stop();
  };
}
