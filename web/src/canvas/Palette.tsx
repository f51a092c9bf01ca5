import { useEffect, useMemo, useRef, useState } from "react";
import { addNode, connect, here } from "@/canvas/actions";
import { lookOf } from "@/canvas/looks";
import { dismiss, useCanvas, type PaletteRequest } from "@/canvas/store";
import { sourcesFor, targetsFor, typesGiving, typesTaking, visible, wanted, type Offer, type Scene } from "@/graph/connect";
import { typeAt } from "@/graph/typing";
import type { NodeType, TypeRef } from "@/graph/nodetype";
import { entryOf, searched, type Entry } from "@/graph/search";
import { show } from "@/graph/wire";
import { kindOf } from "@/graph/geometry";
import { useCatalogue } from "@/store/catalogue";
import { useEditor } from "@/store/editor";
import { strings } from "@/strings";

/** How many lines are drawn; typing finds the rest. */
const MOST = 120;

interface Line extends Entry<() => void> {
  readonly id: string;
  readonly group: string;
  readonly note: string;
  readonly types: readonly TypeRef[];
}

/** The palette: nodes to add, sockets to connect to, nodes to find. Typing filters it, the arrow keys move in it. */
export function Palette() {
  const request = useCanvas((state) => state.palette);
  return request ? <Open key={`${request.mode.kind} ${request.at.join()}`} request={request} /> : null;
}

function Open({ request }: { readonly request: PaletteRequest }) {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const back = useRef(document.activeElement);
  const types = useCatalogue((state) => state.types);
  const wires = useCatalogue((state) => state.wires);
  const lines = useMemo(() => linesOf(request, types), [request, types]);
  const found = searched(lines, query);
  const shown = found.slice(0, MOST);
  const current = Math.min(at, Math.max(0, shown.length - 1));

  useEffect(() => {
    const outside = (event: PointerEvent) => {
      if (!box.current?.contains(event.target as Element)) dismiss();
    };
    window.addEventListener("pointerdown", outside);
    return () => window.removeEventListener("pointerdown", outside);
  }, []);
  useEffect(() => {
    box.current?.querySelector(`[data-at="${current}"]`)?.scrollIntoView({ block: "nearest" });
  }, [current, query]);

  const close = () => {
    dismiss();
    if (back.current instanceof HTMLElement) back.current.focus();
  };
  const choose = (line: Line | undefined) => {
    if (!line) return;
    close();
    line.value();
  };
  const left = Math.max(8, Math.min(request.at[0], window.innerWidth - 428));
  const top = Math.max(8, Math.min(request.at[1], window.innerHeight - 436));
  return (
    <div ref={box} className="palette" role="dialog" aria-label={titleOf(request)} style={{ left, top }}>
      <div className="say">{titleOf(request)}</div>
      <input
        type="search"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={shown.length ? `palette-${current}` : undefined}
        aria-label={strings.palette.search}
        placeholder={strings.palette.search}
        autoFocus // eslint-disable-line jsx-a11y/no-autofocus -- it is opened to type into
        value={query}
        onChange={(event) => {
          setQuery(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          event.stopPropagation();
          const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
          if (step !== undefined) {
            event.preventDefault();
            setAt(Math.max(0, Math.min(shown.length - 1, current + step)));
          } else if (event.key === "Enter") {
            event.preventDefault();
            choose(shown[current]);
          } else if (event.key === "Escape") close();
          else if (event.key === "Tab") event.preventDefault();
        }}
      />
      <div id="palette-list" className="lines" role="listbox" aria-label={titleOf(request)}>
        {shown.map((line, i) => (
          <div key={line.id}>
            {!query && line.group !== shown[i - 1]?.group && <div className="group" aria-hidden="true">{line.group}</div>}
            {/* the keyboard is handled by the field above, as for every combobox */}
            {/* eslint-disable-next-line jsx-a11y/click-events-have-key-events */}
            <div id={`palette-${i}`} data-at={i} role="option" tabIndex={-1} aria-selected={i === current}
              className={i === current ? "option current" : "option"} onPointerMove={({ pointerType }) => pointerType === "mouse" && i !== current && setAt(i)}
              onClick={() => choose(line)}>
              <span className="title">{line.title}</span>
              <span className="detail">{line.detail}</span>
              <span className="dots">
                {line.types.slice(0, 4).map((type, j) => {
                  const look = lookOf(type, wires);
                  return <i key={j} className={`dot ${look.sign}`} style={{ "--wire": look.colour } as React.CSSProperties} title={show(type)} />;
                })}
              </span>
              {i === current && line.note && <span className="about">{line.note}</span>}
            </div>
          </div>
        ))}
        {shown.length === 0 && <div className="none">{strings.palette.none}</div>}
      </div>
      <div className="sr" role="status">{strings.palette.count(found.length)}</div>
    </div>
  );
}

function titleOf({ mode }: PaletteRequest): string {
  if (mode.kind === "connect") return strings.palette.connect(mode.node);
  if (mode.kind === "find") return strings.palette.find;
  const scene = here();
  if (mode.from) return strings.palette.fitting(show(typeAt(scene.sheet, scene.typing, mode.from.link, mode.from.home)));
  return mode.to ? strings.palette.giving(show(wanted(scene, mode.to))) : strings.palette.label;
}

function linesOf({ mode }: PaletteRequest, types: ReadonlyMap<string, NodeType>): readonly Line[] {
  const scene = here();
  if (mode.kind === "find") return findLines(scene);
  if (mode.kind === "connect") return connectLines(scene, mode.node);
  const { from, to, graph, place } = mode;
  const kinds = scene.typing.kinds.size >= types.size ? scene.typing.kinds : types;
  const fitting = from
    ? typesTaking(kinds, typeAt(scene.sheet, scene.typing, from.link, from.home))
    : to ? typesGiving(kinds, wanted(scene, to)) : sorted([...kinds.values()]);
  return fitting.filter((kind) => !kind.deprecated).map((kind) => {
    const [note = ""] = kind.doc.split("\n");
    return {
      ...entryOf(kind),
      id: kind.id,
      group: from || to ? "" : kind.category,
      note: kind.experimental ? `${note} (${strings.palette.experimental})` : note,
      types: Object.values(kind.outputs),
      value: () => {
        const id = addNode(kind, place, graph, { ...(from ? { from } : {}), ...(to ? { to } : {}) });
        if (mode.reveal) useEditor.getState().show(scene.sheet.name ? `graph:${scene.sheet.name}/${id}` : id);
      },
    };
  });
}

function sorted(kinds: readonly NodeType[]): readonly NodeType[] {
  return [...kinds].sort((a, b) => a.category.localeCompare(b.category) || 0);
}

function findLines(scene: Scene): readonly Line[] {
  return [...scene.sheet.nodes.values()].map((node) => {
    const kind = kindOf(scene, node);
    const title = typeof node.data["title"] === "string" ? node.data["title"] : kind.title;
    const note = typeof node.data["note"] === "string" ? node.data["note"] : "";
    return {
      id: node.id, title: node.id, detail: title, group: "", note,
      words: `${node.type} ${note} ${JSON.stringify(node.inputs)}`,
      types: Object.values(scene.typing.outputs.get(node.id) ?? {}),
      value: () => useEditor.getState().show(scene.sheet.name ? `graph:${scene.sheet.name}/${node.id}` : node.id),
    };
  });
}

function connectLines(scene: Scene, id: string): readonly Line[] {
  const node = scene.sheet.nodes.get(id);
  if (!node) return [];
  const line = (offer: Offer, mine: string, other: string, gives: boolean): Line => ({
    id: `${offer.source.link}>${offer.target.node}.${offer.target.body ?? ""}${offer.target.input}`,
    title: gives ? `${mine} → ${other}` : `${mine} ← ${other}`,
    detail: show(offer.type), group: mine, note: "", words: "", types: [offer.type],
    value: () => {
      connect(offer.source, offer.target);
    },
  });
  const kind = kindOf(scene, node);
  const inputs = kind.inputs.filter((port) => port.kind !== "context").flatMap((port) => {
    const body = node.bodies[port.name];
    if (port.kind === "body") {
      const target = { node: id, input: body?.outputs[0]?.[0] ?? "", body: port.name };
      return body ? sourcesFor(scene, target).filter((offer) => offer.source.home === body)
        .map((offer) => line(offer, `${port.name} ${strings.canvas.result}`, offer.source.link, false)) : [];
    }
    return sourcesFor(scene, { node: id, input: port.name }).map((offer) => line(offer, port.name, offer.source.link, false));
  });
  const own = visible(scene, node.graph).filter(({ source }) => source.link.startsWith(`${id}.`));
  const inner = Object.values(node.bodies).flatMap((body) => body.inputs.map((name) => ({ source: { link: name, home: body } })));
  const outputs = [...own, ...inner].flatMap(({ source }) => targetsFor(scene, source).map((offer) => {
    const { node: other, input, body } = offer.target;
    return line(offer, source.link.replace(`${id}.`, ""), `${other}.${body ?? input}`, true);
  }));
  return [...inputs, ...outputs];
}
