import { useRef } from "react";
import { setField, setPlace } from "@/canvas/actions";
import { useCanvas } from "@/canvas/store";
import type { Node } from "@/graph/document";
import type { Shape } from "@/graph/geometry";
import type { NodeLive } from "@/live/store";
import { useCatalogue } from "@/store/catalogue";
import { useEditor } from "@/store/editor";
import { strings } from "@/strings";

interface HeadProps {
  readonly shape: Shape;
  readonly node: Node;
  readonly live: NodeLive | undefined;
  readonly known: boolean;
  readonly state: string;
}

/** The top of a node: what it is, its id, how the run of it goes. */
export function NodeHead({ shape, node, live, known, state }: HeadProps) {
  const kind = useCatalogue((catalogue) => catalogue.types.get(node.type));
  const renaming = useCanvas((canvas) => canvas.renaming === node.id);
  const graph = node.type.startsWith("graph:") ? node.type.slice("graph:".length) : "";
  const own = typeof node.data["title"] === "string" ? node.data["title"] : "";
  const title = own || (kind?.title ?? (graph ? graph.replace(/_/g, " ") : node.type));
  const [summary] = (kind?.doc ?? "").split("\n");
  const note = typeof node.data["note"] === "string" ? node.data["note"] : "";
  return (
    <div className="head" title={known ? summary : strings.canvas.missing}>
      {live && <Mark live={live} />}
      {renaming
        ? <TitleField title={title} onDone={(text) => {
            useCanvas.setState({ renaming: "" });
            if (text !== null && text !== title) setField(node.id, "title", text);
          }} />
        : <span className="title">{title}</span>}
      {node.id !== title.toLowerCase() && <span className="id">{node.id}</span>}
      {note && <span className="flag" title={note} aria-label={`${strings.inspector.note}: ${note}`}>✎</span>}
      {state && <span className="flag">{state === "muted" ? strings.canvas.muted : strings.canvas.bypassed}</span>}
      {live?.seconds !== undefined && <span className="time">{strings.canvas.seconds(live.seconds)}</span>}
      {graph && (
        <button type="button" className="nodrag small" aria-label={strings.canvas.enter} title={strings.canvas.enter}
          onClick={() => useEditor.getState().enter(graph, node.id)}>⤢</button>
      )}
      {!shape.frames.length && (
        <button type="button" className="nodrag small fold" aria-expanded={!shape.collapsed}
          aria-label={shape.collapsed ? strings.canvas.expand : strings.canvas.collapse}
          onClick={() => setPlace([node.id], { collapsed: shape.collapsed ? undefined : true }, strings.commands.collapse)}>
          {shape.collapsed ? "▸" : "▾"}
        </button>
      )}
      {live?.mark === "running" && (
        <span className={live.total > 0 ? "progress" : "progress unsure"} role="progressbar" aria-valuemin={0}
          aria-valuemax={live.total || undefined} aria-valuenow={live.total ? live.done : undefined} aria-label={title}
          style={live.total > 0 ? { width: `${Math.min(100, (100 * live.done) / live.total)}%` } : undefined} />
      )}
    </div>
  );
}

const SIGNS: Readonly<Record<NodeLive["mark"], string>> = {
  "will-run": "○", cached: "◆", running: "▶", done: "✓", failed: "✕",
};

function Mark({ live }: { readonly live: NodeLive }) {
  const text = live.error ? `${strings.canvas.marks.failed}: ${live.error}` : strings.canvas.marks[live.mark];
  return <span className={`mark ${live.mark}`} role="img" aria-label={text} title={text}>{SIGNS[live.mark]}</span>;
}

function TitleField({ title, onDone }: { readonly title: string; readonly onDone: (text: string | null) => void }) {
  const left = useRef(false);
  const done = (text: string | null) => {
    if (left.current) return;
    left.current = true;
    onDone(text);
  };
  return (
    <input
      className="title nodrag"
      aria-label={strings.inspector.title}
      defaultValue={title}
      ref={(input) => input?.select()}
      onBlur={(event) => done(event.target.value)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") done(event.currentTarget.value);
        if (event.key === "Escape") done(null);
      }}
    />
  );
}
