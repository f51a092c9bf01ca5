/** Short messages that the page shows and takes away again: what failed and why, what was done. */
import { create } from "zustand";

export interface Notice {
  readonly id: number;
  readonly kind: "error" | "done" | "info";
  readonly title: string;
  readonly detail: string;
  /** What can be done about it at once. */
  readonly action?: { readonly label: string; readonly run: () => void };
}

export interface NoticeState {
  readonly notices: readonly Notice[];
  tell(notice: Omit<Notice, "id" | "detail"> & { readonly detail?: string }): void;
  dismiss(id: number): void;
}

/** How long a notice stays, in milliseconds; an error stays until it is read. */
const STAY = 5000;
/** The most that are shown at once. */
const MOST = 4;
let count = 0;

export const useNotices = create<NoticeState>()((set, get) => ({
  notices: [],
  tell: ({ detail = "", ...notice }) => {
    const id = ++count;
    const others = get().notices.filter((n) => n.title !== notice.title || n.detail !== detail);
    set({ notices: [...others, { ...notice, detail, id }].slice(-MOST) });
    if (notice.kind !== "error") setTimeout(() => get().dismiss(id), STAY);
  },
  dismiss: (id) => set((state) => ({ notices: state.notices.filter((n) => n.id !== id) })),
}));

/** What was told is not so any more. */
export function withdraw(title: string, detail: string): void {
  useNotices.setState((state) => ({
    notices: state.notices.filter((notice) => notice.title !== title || notice.detail !== detail),
  }));
}

/** Tell of something. */
export function tell(notice: Parameters<NoticeState["tell"]>[0]): void {
  useNotices.getState().tell(notice);
}
