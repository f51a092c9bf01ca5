import { Canvas } from "@/canvas/Canvas";

/** The whole page: what the panels put around the canvas. */
export function App() {
  return <Canvas />;
}
