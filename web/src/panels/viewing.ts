/** Which picture is shown large, and with which other it is compared. */
import { create } from "zustand";
import { useServer } from "@/live/link";
import type { Output } from "@/api/schema";

export interface Shown extends Output {
  readonly job: string;
  readonly title: string;
}

interface Viewing {
  /** Ids of outputs. */
  readonly first: string | null;
  readonly second: string | null;
  /** Whether a second picture is being chosen. */
  readonly picking: boolean;
}

export const useViewing = create<Viewing>()(() => ({ first: null, second: null, picking: false }));

/** Show a picture large, or take it as the second to compare with. */
export function showPicture(_job: string, output: string): void {
  const { picking, first } = useViewing.getState();
  useViewing.setState(picking && first !== output ? { second: output, picking: false } : { first: output, second: null });
}

export function closePicture(): void {
  useViewing.setState({ first: null, second: null, picking: false });
}

/** All pictures of past runs, newest first. */
export function pictures(past = useServer.getState().past): Shown[] {
  return past.flatMap((job) =>
    job.outputs
      .filter((output) => output.media.startsWith("image/"))
      .map((output) => ({ ...output, job: job.id, title: job.name })),
  );
}
