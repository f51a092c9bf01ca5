/**
 * Drafts: what is open is kept in the browser with every change, so that a reload or a crash loses nothing.
 *
 * Each window has a draft of its own. One whose window is gone is taken over by the next that opens.
 */
import { drop, keys, put, take } from "@/session/box";
import { read, written, type Draft } from "@/session/draft";
import { useRuns } from "@/live/runs";
import { untouched, useEditor } from "@/store/editor";

/** After which pause a change is written, in milliseconds. */
const PAUSE = 120;
const WINDOW = "graphengine.window";
const LAST = "graphengine.last.";

let id = "";

/** Put back what this window had open, or what a window that is gone had; whether there was anything. */
export async function restoreDraft(): Promise<boolean> {
  id = await own();
  const draft = await found();
  if (!draft) return false;
  useEditor.getState().restore(draft.tabs, draft.active);
  useRuns.getState().restore(draft.runs);
  return !draft.tabs.every(untouched);
}

/** Write every change from now on, until the returned function is called. */
export function keepDrafts(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let made = 0;
  let kept = 0;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    const written = made;
    const keep = () => {
      kept = Math.max(kept, written);
      if (kept === made) forgetLast(id);
    };
    void put(id, now()).then(keep, () => undefined);
  };
  const later = () => {
    made += 1;
    timer ??= setTimeout(flush, PAUSE);
  };
  const leave = () => {
    if (kept === made) return;
    try {
      localStorage.setItem(LAST + id, now()); // the other box has no time any more
    } catch {
      flush();
    }
  };
  const stops = [
    useEditor.subscribe((state, before) => {
      if (state.tabs !== before.tabs || state.active !== before.active) later();
    }),
    useRuns.subscribe((state, before) => {
      if (Object.keys(state.runs).length !== Object.keys(before.runs).length) later();
    }),
  ];
  window.addEventListener("pagehide", leave);
  return () => {
    if (kept !== made) flush();
    for (const stop of stops) stop();
    window.removeEventListener("pagehide", leave);
  };
}

/** Everything that is open now, as text. */
function now(): string {
  const { tabs, active } = useEditor.getState();
  return written({ tabs, active, runs: Object.values(useRuns.getState().runs) });
}

/** What a window kept last: as it went away, else before. */
async function newest(window: string): Promise<string | undefined> {
  return localStorage.getItem(LAST + window) ?? (await take(window));
}

function forgetLast(window: string): void {
  try {
    localStorage.removeItem(LAST + window);
  } catch {
    // a browser that keeps nothing has nothing to forget
  }
}

/** The window's own name, held as long as it lives; a copied window has its original's and takes another. */
async function own(): Promise<string> {
  const fresh = () => `w${Date.now().toString(36)}${Math.random().toString(36).slice(2, 6)}`;
  const before = sessionStorage.getItem(WINDOW);
  const name = before && (await hold(before)) ? before : fresh();
  if (name !== before) await hold(name);
  sessionStorage.setItem(WINDOW, name);
  return name;
}

/** Take a lock that ends with this window; false if another has it. Without locks every name is free. */
async function hold(name: string): Promise<boolean> {
  if (!("locks" in navigator)) return true;
  return new Promise((resolve) => {
    void navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock ? new Promise<void>(() => undefined) : undefined;
    });
  });
}

async function found(): Promise<Draft | null> {
  try {
    const mine = await newest(id);
    if (mine !== undefined) return read(mine);
    for (const other of (await keys()).toReversed()) {
      if (!("locks" in navigator) || !(await hold(other))) continue;
      const text = await newest(other);
      await drop(other);
      forgetLast(other);
      const draft = text === undefined ? null : read(text);
      if (draft && !draft.tabs.every(untouched)) {
        await put(id, written(draft));
        return draft;
      }
    }
  } catch {
    // a browser that keeps nothing has no drafts
  }
  return null;
}
