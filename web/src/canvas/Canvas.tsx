import { strings } from "@/strings";

/** The graph of the active tab. */
export function Canvas() {
  return <main aria-label={strings.canvas.label} />;
}
