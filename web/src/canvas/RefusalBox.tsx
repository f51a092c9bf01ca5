import { useEffect, useRef } from "react";
import { insert } from "@/canvas/actions";
import { dismiss, useCanvas } from "@/canvas/store";
import { useCatalogue } from "@/store/catalogue";
import { strings } from "@/strings";

/** Why a wire was refused, with the node that would make it fit one click away. */
export function RefusalBox({ place }: { readonly place: (at: readonly [number, number]) => readonly [number, number] }) {
  const refusal = useCanvas((state) => state.refusal);
  const kind = useCatalogue((state) => state.types.get(refusal?.converter ?? ""));
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!refusal) return;
    box.current?.querySelector("button")?.focus();
    const close = (event: Event) => {
      if (event instanceof KeyboardEvent ? event.key === "Escape" : !box.current?.contains(event.target as Element)) dismiss();
    };
    window.addEventListener("pointerdown", close);
    window.addEventListener("keydown", close);
    return () => {
      window.removeEventListener("pointerdown", close);
      window.removeEventListener("keydown", close);
    };
  }, [refusal]);
  if (!refusal) return null;
  const { at, reason, source, target } = refusal;
  return (
    <div ref={box} className="refusal" role="alertdialog" aria-label={strings.canvas.refused}
      style={{ left: Math.min(at[0], window.innerWidth - 330), top: Math.min(at[1], window.innerHeight - 130) }}>
      <p>{reason}</p>
      {kind && (
        <button type="button" className="primary" onClick={() => {
          const [x, y] = place(at);
          insert(kind.id, source, target, [x - 320, y - 30]);
          dismiss();
        }}>{strings.canvas.insert(kind.title)}</button>
      )}
      <button type="button" onClick={dismiss}>{strings.canvas.close}</button>
    </div>
  );
}
