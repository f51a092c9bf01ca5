import { NodeResizer, type NodeProps } from "@xyflow/react";
import { memo, useState } from "react";
import { setExtra } from "@/canvas/actions";
import type { ExtraNode as Extra } from "@/canvas/flow";
import { strings } from "@/strings";

/** A coloured frame behind some nodes, with a title. */
export const FrameNode = memo(function FrameNode({ id, data, selected }: NodeProps<Extra>) {
  const { entry } = data;
  const colour = typeof entry["colour"] === "string" ? entry["colour"] : undefined;
  return (
    <section className={selected ? "area selected" : "area"} style={colour ? ({ "--own": colour } as React.CSSProperties) : undefined}>
      <Resizer id={id} selected={selected} />
      <div className="head"><Text id={id} field="title" text={textOf(entry["title"])} label={strings.canvas.frameTitle} /></div>
    </section>
  );
});

/** Text on the canvas. */
export const NoteNode = memo(function NoteNode({ id, data, selected }: NodeProps<Extra>) {
  const { entry } = data;
  const colour = typeof entry["colour"] === "string" ? entry["colour"] : undefined;
  return (
    <section className={selected ? "note selected" : "note"} style={colour ? ({ "--own": colour } as React.CSSProperties) : undefined}>
      <Resizer id={id} selected={selected} />
      <Text id={id} field="text" text={textOf(entry["text"])} label={strings.canvas.noteText} lines />
    </section>
  );
});

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function Resizer({ id, selected }: { readonly id: string; readonly selected: boolean }) {
  return (
    <NodeResizer isVisible={selected} minWidth={120} minHeight={60}
      onResizeEnd={(_, { x, y, width, height }) =>
        setExtra(id, { at: [Math.round(x), Math.round(y)], size: [Math.round(width), Math.round(height)] })} />
  );
}

function Text({ id, field, text, label, lines = false }: {
  readonly id: string;
  readonly field: string;
  readonly text: string;
  readonly label: string;
  readonly lines?: boolean;
}) {
  const [draft, setDraft] = useState<string | null>(null);
  const shared = {
    "aria-label": label,
    placeholder: label,
    value: draft ?? text,
    onChange: (event: { readonly target: { readonly value: string } }) => setDraft(event.target.value),
    onBlur: () => {
      if (draft !== null && draft !== text) setExtra(id, { [field]: draft });
      setDraft(null);
    },
  };
  return lines ? <textarea className="nodrag nowheel" {...shared} /> : <input className="nodrag" {...shared} />;
}
