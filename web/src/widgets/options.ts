/** Options that the server is asked for, once for each input, and again when they may have changed. */
import { useEffect } from "react";
import { create } from "zustand";
import { choices } from "@/api/client";

interface OptionsState {
  readonly known: Readonly<Record<string, readonly string[]>>;
  ask(type: string, input: string): void;
  /** Forget all: a model was added. */
  forget(): void;
}

const asked = new Set<string>();

export const useOptionsStore = create<OptionsState>()((set) => ({
  known: {},
  ask: (type, input) => {
    const key = `${type}/${input}`;
    if (asked.has(key)) return;
    asked.add(key);
    choices(type, input).then(
      (found) => set((state) => ({ known: { ...state.known, [key]: found } })),
      () => asked.delete(key),
    );
  },
  forget: () => {
    asked.clear();
    set({ known: {} });
  },
}));

/** The options of an input; undefined while they are not known. */
export function useOptions(type: string, input: string, wanted: boolean): readonly string[] | undefined {
  const found = useOptionsStore((state) => state.known[`${type}/${input}`]);
  const ask = useOptionsStore((state) => state.ask);
  useEffect(() => {
    if (wanted && found === undefined) ask(type, input);
  }, [type, input, wanted, found, ask]);
  return wanted ? found : undefined;
}
