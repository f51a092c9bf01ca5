import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import { createPortal } from "react-dom";
import { uploadUrl } from "@/api/client";
import { backdrops, isMask, picturesAt } from "@/graph/mask";
import { useServer } from "@/live/link";
import { useLive } from "@/live/store";
import { useCatalogue } from "@/store/catalogue";
import { activeTab, editedSheet } from "@/store/editor";
import { strings } from "@/strings";
import "@/widgets/painter.css";

const words = strings.widgets;
/** Places and widths are parts of the picture's width, so that the picture may change. */
interface Stroke {
  readonly erase: boolean;
  readonly size: number;
  readonly points: (readonly [number, number])[];
}
/** What was done, in order. */
type Act = Stroke | "invert" | "clear";
type Size = readonly [number, number];

/** A picture to paint over. */
interface Ground {
  readonly url: string;
  readonly small: string;
  readonly title: string;
}

/** The side of a mask that is painted on nothing. */
const SIDE = 512;
/** How many results of past runs are offered. */
const RECENT = 6;
const [THIN, WIDE] = [1, 60];

/** A mask, painted with the pointer over the picture that it belongs to: what is coloured is selected. */
export default function MaskPainter({ start, node, onDone, onCancel }: {
  /** The mask as it is; empty for none. */
  readonly start: string;
  readonly node: string;
  readonly onDone: (file: Blob) => void;
  readonly onCancel: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const ring = useRef<HTMLElement>(null);
  const now = useRef<Stroke | null>(null);
  const [before, setBefore] = useState<HTMLImageElement | null>(null);
  const [own, recent] = useMemo(() => [ofWorkflow(node), ofRuns()], [node]);
  const [files, setFiles] = useState<readonly Ground[]>([]);
  const [missing, setMissing] = useState<ReadonlySet<string>>(new Set());
  const [chosen, setChosen] = useState<string | null>(null);
  const [sizes, setSizes] = useState<Readonly<Record<string, Size>>>({});
  const [acts, setActs] = useState<readonly Act[]>([]);
  const [undone, setUndone] = useState<readonly Act[]>([]);
  const [brush, setBrush] = useState(12);
  const [erase, setErase] = useState(false);

  const there = own.filter(({ url }) => !missing.has(url));
  const offered = [...there, ...recent, ...files];
  const ground = chosen ?? there[0]?.url ?? "";
  const known = (url: string | undefined) => (url ? sizes[url] : undefined);
  const [width, height] = known(there[0]?.url) ?? known(start) ?? known(ground) ?? [SIDE, SIDE];

  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    if (!start) return;
    const image = new Image();
    image.onload = () => {
      setSizes((all) => ({ ...all, [start]: [image.naturalWidth, image.naturalHeight] }));
      setBefore(image);
    };
    image.src = uploadUrl(start);
  }, [start]);
  useEffect(() => () => files.forEach(({ url }) => URL.revokeObjectURL(url)), [files]);

  const draw = useCallback(() => {
    const pen = canvas.current?.getContext("2d");
    if (!pen) return;
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(0, 0, width, height);
    if (before) pen.drawImage(coloured(before, width, height, inkOf(pen)), 0, 0);
    for (const act of acts) perform(pen, act);
  }, [before, acts, width, height]);
  useEffect(draw, [draw]);

  const act = (next: Act) => {
    setActs([...acts, next]);
    setUndone([]);
  };
  const back = () => {
    const last = acts.at(-1);
    if (last === undefined) return;
    setActs(acts.slice(0, -1));
    setUndone([...undone, last]);
  };
  const again = () => {
    const next = undone.at(-1);
    if (next === undefined) return;
    setActs([...acts, next]);
    setUndone(undone.slice(0, -1));
  };
  const resize = (by: number) => setBrush(Math.min(WIDE, Math.max(THIN, brush + by)));
  const keys = (event: KeyboardEvent) => {
    event.stopPropagation();
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
      if (key === "y" || event.shiftKey) again();
      else back();
    } else if (key === "[") resize(-2);
    else if (key === "]") resize(2);
    else if (key === "e" && !event.ctrlKey) setErase(!erase);
    else return;
    event.preventDefault();
  };
  const at = (event: globalThis.PointerEvent, on: HTMLElement): readonly [number, number] => {
    const box = on.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width];
  };
  const follow = (event: PointerEvent<HTMLElement>) => {
    const [x, y] = at(event.nativeEvent, event.currentTarget);
    const scale = event.currentTarget.clientWidth;
    if (ring.current) ring.current.style.translate = `${x * scale}px ${y * scale}px`;
  };
  const open = (list: FileList | null) => {
    const [file] = list ?? [];
    if (!file) return;
    const url = URL.createObjectURL(file);
    setFiles([{ url, small: url, title: file.name }]);
    setChosen(url);
  };

  return createPortal(
    <dialog ref={dialog} tabIndex={-1} className="painter" aria-label={words.paintTitle} onCancel={onCancel} onKeyDown={keys}>
      <header>
        <h2>{words.paintTitle}</h2>
        <div className="tools" role="group" aria-label={words.brush}>
          <button type="button" aria-pressed={!erase} onClick={() => setErase(false)}>{words.brush}</button>
          <button type="button" aria-pressed={erase} title={`${words.erase} (E)`} onClick={() => setErase(true)}>{words.erase}</button>
        </div>
        <label title="[ ]">{words.size}
          <input type="range" min={THIN} max={WIDE} value={brush} style={{ "--at": `${(100 * (brush - THIN)) / (WIDE - THIN)}%` } as React.CSSProperties}
            onChange={(event) => setBrush(Number(event.target.value))} />
        </label>
        <div className="tools">
          <button type="button" aria-disabled={!acts.length} title="Ctrl+Z" onClick={back}>{words.undo}</button>
          <button type="button" aria-disabled={!undone.length} title="Ctrl+Shift+Z" onClick={again}>{words.redo}</button>
        </div>
        <div className="tools">
          <button type="button" onClick={() => act("invert")}>{words.invert}</button>
          <button type="button" onClick={() => act("clear")}>{words.clear}</button>
        </div>
      </header>
      <div className={ground ? "easel" : "easel bare"} style={{ "--ratio": width / height } as React.CSSProperties}>
        {ground && (
          <img src={ground} alt={offered.find(({ url }) => url === ground)?.title ?? ""} draggable={false}
            onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) =>
              setSizes((all) => ({ ...all, [ground]: [naturalWidth, naturalHeight] }))}
            onError={() => {
              setMissing(new Set([...missing, ground]));
              setChosen(null);
            }} />
        )}
        <canvas
          ref={canvas}
          width={width}
          height={height}
          aria-label={words.paintHere}
          onPointerDown={(event) => {
            if (!event.isPrimary) return;
            event.currentTarget.setPointerCapture(event.pointerId);
            now.current = { erase: erase || event.button === 2, size: brush / 100, points: [at(event.nativeEvent, event.currentTarget)] };
            const pen = event.currentTarget.getContext("2d");
            if (pen) perform(pen, now.current);
            follow(event);
          }}
          onPointerMove={(event) => {
            follow(event);
            const stroke = now.current;
            const pen = event.currentTarget.getContext("2d");
            if (!stroke || !pen || !event.isPrimary) return;
            const from = stroke.points.at(-1);
            const passed = event.nativeEvent.getCoalescedEvents?.() ?? [];
            for (const one of passed.length ? passed : [event.nativeEvent]) stroke.points.push(at(one, event.currentTarget));
            const fresh = stroke.points.slice(from ? stroke.points.indexOf(from) : 0);
            perform(pen, { ...stroke, points: fresh });
          }}
          onPointerUp={(event) => {
            if (!event.isPrimary) return;
            if (now.current) act(now.current);
            now.current = null;
          }}
          onPointerCancel={() => {
            now.current = null;
            draw();
          }}
          onContextMenu={(event) => event.preventDefault()}
        />
        <i ref={ring} className="ring" style={{ width: `${brush}%` }} />
      </div>
      <footer>
        <div className="grounds" role="group" aria-label={words.paintOver}>
          <span className="quiet">{words.paintOver}</span>
          <button type="button" className="none" aria-label={words.nothing} title={words.nothing} aria-pressed={!ground} onClick={() => setChosen("")} />
          {offered.map(({ url, small, title }) => (
            <button key={url} type="button" aria-label={title} title={title} aria-pressed={url === ground} onClick={() => setChosen(url)}>
              <img src={small} alt="" draggable={false} />
            </button>
          ))}
          <label className="more" title={words.another}>
            <input type="file" aria-label={words.another} accept="image/png,image/jpeg,image/webp" onChange={(event) => open(event.target.files)} />+
          </label>
        </div>
        <button type="button" onClick={onCancel}>{words.cancel}</button>
        <button type="button" className="primary" onClick={() => canvas.current && exported(canvas.current, onDone)}>{words.done}</button>
      </footer>
    </dialog>,
    document.body,
  );
}

/** The pictures of the workflow that the mask may belong to: uploads, and what its nodes show. */
function ofWorkflow(id: string): Ground[] {
  const tab = activeTab();
  const sheet = editedSheet(tab);
  const { types } = useCatalogue.getState();
  const live = useLive.getState().tabs[tab.id] ?? {};
  const prefix = tab.view === "form" ? "" : tab.inside.map(({ node }) => `${node}/`).join("");
  const found = backdrops(sheet, id).flatMap((other): Ground[] => {
    const node = sheet.nodes.get(other);
    if (!node || isMask(sheet, types, other)) return [];
    const shown = live[prefix + other]?.pictures?.at(-1);
    return [...picturesAt(node, types).map(uploadUrl), ...(shown === undefined ? [] : [shown])]
      .map((url) => ({ url, small: url, title: words.pictureOf(other) }));
  });
  return found.filter(({ url }, i) => found.findIndex((other) => other.url === url) === i);
}

/** The newest results of past runs. */
function ofRuns(): Ground[] {
  return useServer.getState().past
    .flatMap((job) => job.outputs.filter(({ media }) => media.startsWith("image/"))).slice(0, RECENT)
    .map(({ url, name }) => ({ url, small: `${url}?size=128`, title: name }));
}

function inkOf(pen: CanvasRenderingContext2D): string {
  return getComputedStyle(pen.canvas).getPropertyValue("--paint").trim();
}

/** A mask as it is drawn here: what is white in the file is coloured, what is black is clear. */
function coloured(mask: HTMLImageElement, width: number, height: number, ink: string): HTMLCanvasElement {
  const made = Object.assign(document.createElement("canvas"), { width, height });
  const pen = made.getContext("2d");
  if (!pen) return made;
  pen.drawImage(mask, 0, 0, width, height);
  const pixels = pen.getImageData(0, 0, width, height);
  const { data } = pixels;
  for (let i = 0; i < data.length; i += 4) {
    const [red = 0, green = 0, blue = 0, alpha = 0] = data.subarray(i, i + 4);
    data[i + 3] = Math.round(((0.2126 * red + 0.7152 * green + 0.0722 * blue) * alpha) / 255);
  }
  pen.putImageData(pixels, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = ink;
  pen.fillRect(0, 0, width, height);
  return made;
}

function perform(pen: CanvasRenderingContext2D, act: Act): void {
  const { width, height } = pen.canvas;
  if (act === "clear") return pen.clearRect(0, 0, width, height);
  pen.fillStyle = pen.strokeStyle = inkOf(pen);
  if (act === "invert") {
    pen.globalCompositeOperation = "xor";
    pen.fillRect(0, 0, width, height);
  } else {
    pen.globalCompositeOperation = act.erase ? "destination-out" : "source-over";
    pen.lineWidth = act.size * width;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    act.points.forEach(([x, y], i) => (i ? pen.lineTo(x * width, y * width) : pen.moveTo(x * width, y * width)));
    const [only] = act.points;
    if (only && act.points.length === 1) pen.lineTo(only[0] * width + 0.01, only[1] * width);
    pen.stroke();
  }
  pen.globalCompositeOperation = "source-over";
}

/** The mask as a file: white where it is coloured, black elsewhere. */
function exported(canvas: HTMLCanvasElement, onDone: (file: Blob) => void): void {
  const { width, height } = canvas;
  const made = Object.assign(document.createElement("canvas"), { width, height });
  const pen = made.getContext("2d");
  if (!pen) return;
  pen.drawImage(canvas, 0, 0);
  for (const [how, colour] of [["source-in", "#fff"], ["destination-over", "#000"]] as const) {
    pen.globalCompositeOperation = how;
    pen.fillStyle = colour;
    pen.fillRect(0, 0, width, height);
  }
  made.toBlob((file) => file && onDone(file), "image/png");
}
