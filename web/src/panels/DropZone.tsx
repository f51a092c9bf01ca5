/** Files that are dropped anywhere on the page: workflows are opened; what is none is left to the canvas. */
import { useEffect, useState } from "react";
import { openFiles } from "@/session/files";
import { perform } from "@/session/refresh";
import { tell } from "@/store/notices";
import { strings } from "@/strings";

const words = strings.panels.files;

export function DropZone() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const carries = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const enter = (event: DragEvent) => {
      if (!carries(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      setOver(false);
      if (!carries(event) || event.defaultPrevented) return;
      event.preventDefault();
      const open = openFiles([...(event.dataTransfer?.files ?? [])]).then((others) => {
        for (const file of others) tell({ kind: "error", title: words.noWorkflow(file.name) });
      });
      perform(open, words.openFailed);
    };
    window.addEventListener("dragenter", enter);
    window.addEventListener("dragover", enter);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragenter", enter);
      window.removeEventListener("dragover", enter);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, []);
  return over ? <div className="drop-zone"><p>{words.drop}</p></div> : null;
}
