import { useCallback, useEffect, useRef, useState, type PointerEvent } from "react";
import { createPortal } from "react-dom";
import { uploadUrl } from "@/api/client";
import { strings } from "@/strings";

type Stroke = { readonly erase: boolean; readonly size: number; readonly points: (readonly [number, number])[] };

/** The side of a mask that is painted on nothing. */
const SIDE = 512;

/** A mask, painted with the pointer on the picture that is there: white is selected. */
export default function MaskPainter({ start, onDone, onCancel }: {
  readonly start: string;
  readonly onDone: (file: Blob) => void;
  readonly onCancel: () => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const dialog = useRef<HTMLDialogElement>(null);
  const under = useRef<HTMLImageElement | null>(null);
  const [strokes, setStrokes] = useState<readonly Stroke[]>([]);
  const [size, setSize] = useState(48);
  const [erase, setErase] = useState(false);
  const now = useRef<Stroke | null>(null);

  const draw = useCallback(() => {
    const target = canvas.current;
    const context = target?.getContext("2d");
    if (!target || !context) return;
    context.globalCompositeOperation = "source-over";
    context.fillStyle = "#000";
    context.fillRect(0, 0, target.width, target.height);
    if (under.current) context.drawImage(under.current, 0, 0, target.width, target.height);
    for (const stroke of now.current ? [...strokes, now.current] : strokes) {
      context.strokeStyle = stroke.erase ? "#000" : "#fff";
      context.lineWidth = stroke.size;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      stroke.points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      const [only] = stroke.points;
      if (only && stroke.points.length === 1) context.lineTo(only[0] + 0.01, only[1]);
      context.stroke();
    }
  }, [strokes]);

  useEffect(() => dialog.current?.showModal(), []);
  useEffect(draw, [draw]);
  useEffect(() => {
    if (!start) return;
    const image = new Image();
    image.onload = () => {
      const target = canvas.current;
      if (!target) return;
      target.width = image.naturalWidth;
      target.height = image.naturalHeight;
      under.current = image;
      draw();
    };
    image.src = uploadUrl(start);
    // the picture is read once; later strokes draw over it
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [start]);

  const at = (event: PointerEvent<HTMLCanvasElement>): readonly [number, number] => {
    const box = event.currentTarget.getBoundingClientRect();
    const scale = event.currentTarget.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  return createPortal(
    <dialog ref={dialog} className="painter" aria-label={strings.widgets.paintTitle} onCancel={onCancel}
      onKeyDown={(event) => event.stopPropagation()}>
      <header className="row">
        <h2>{strings.widgets.paintTitle}</h2>
        <label>{strings.widgets.size}
          <input type="range" min={2} max={256} value={size} onChange={(event) => setSize(Number(event.target.value))} />
        </label>
        <label><input type="checkbox" checked={erase} onChange={(event) => setErase(event.target.checked)} />
          {strings.widgets.erase}
        </label>
        <button type="button" disabled={!strokes.length} onClick={() => setStrokes(strokes.slice(0, -1))}>
          {strings.widgets.undo}
        </button>
      </header>
      <canvas
        ref={canvas}
        width={SIDE}
        height={SIDE}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          now.current = { erase: erase || event.button === 2, size, points: [at(event)] };
          draw();
        }}
        onPointerMove={(event) => {
          if (!now.current) return;
          now.current.points.push(at(event));
          draw();
        }}
        onPointerUp={() => {
          if (now.current) setStrokes([...strokes, now.current]);
          now.current = null;
        }}
        onContextMenu={(event) => event.preventDefault()}
      />
      <footer className="row">
        <button type="button" onClick={onCancel}>{strings.widgets.cancel}</button>
        <button type="button" className="primary" onClick={() => canvas.current?.toBlob((file) => file && onDone(file), "image/png")}>
          {strings.widgets.done}
        </button>
      </footer>
    </dialog>,
    document.body,
  );
}
