/** Short messages at the edge of the page: what happened, or why something cannot be. */
import { create } from "zustand";

export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly kind: "info" | "bad";
}

interface NoticeState {
  readonly notices: readonly Notice[];
}

export const useNotices = create<NoticeState>()(() => ({ notices: [] }));

/** How long a message stays, in milliseconds. */
const STAYS = 7000;
let count = 0;

/** Show a message; it goes away by itself. */
export function tell(text: string, kind: Notice["kind"] = "bad"): void {
  const id = ++count;
  useNotices.setState((state) => ({ notices: [...state.notices.slice(-3), { id, text, kind }] }));
  setTimeout(() => dropNotice(id), STAYS);
}

export function dropNotice(id: number): void {
  useNotices.setState((state) => ({ notices: state.notices.filter((notice) => notice.id !== id) }));
}
