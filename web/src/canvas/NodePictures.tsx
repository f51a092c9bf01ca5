import { useState } from "react";
import { PICTURE } from "@/graph/geometry";
import { strings } from "@/strings";

/** The pictures that a node made, or a preview of them; several are leafed through. */
export function NodePictures({ pictures, top }: { readonly pictures: readonly string[]; readonly top: number }) {
  const [at, setAt] = useState(0);
  const shown = pictures[Math.min(at, pictures.length - 1)];
  if (shown === undefined) return null;
  return (
    <div className="pictures" style={{ top, height: PICTURE }} aria-label={strings.canvas.pictures} role="group">
      <img src={shown} alt="" draggable={false} />
      {pictures.length > 1 && (
        <button type="button" className="nodrag count" onClick={() => setAt((at + 1) % pictures.length)}>
          {Math.min(at, pictures.length - 1) + 1} / {pictures.length}
        </button>
      )}
    </div>
  );
}
