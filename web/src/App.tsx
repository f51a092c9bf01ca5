import { useEffect } from "react";
import { nodes } from "@/api/client";
import { Canvas } from "@/canvas/Canvas";
import { useCatalogue } from "@/store/catalogue";

/** The whole page: what the panels put around the canvas. */
export function App() {
  useEffect(() => void nodes().then(useCatalogue.getState().load), []);
  return <Canvas />;
}
