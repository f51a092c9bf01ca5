import { Shell } from "@/panels/Shell";

/** The whole page: what the panels put around the canvas. */
export function App() {
  return <Shell />;
}
