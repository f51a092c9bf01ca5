import { useState } from "react";
import { linkOf } from "@/graph/document";
import { Exact, type Json } from "@/graph/json";
import { initial, itemPort } from "@/graph/widget";
import { isList } from "@/graph/wire";
import { format } from "@/graph/format";
import { Field } from "@/widgets/Field";
import { readItem } from "@/widgets/items";
import type { WidgetProps } from "@/widgets/props";
import { strings } from "@/strings";

/** A list: its items one below the other, each with the widget of its type; links among them are named. */
export function ListWidget({ port, value, onChange, node, type, label, id }: WidgetProps) {
  const [open, setOpen] = useState(false);
  const now = value === undefined ? port.default : value;
  const items: readonly Json[] = Array.isArray(now) ? (now as readonly Json[]) : [];
  const item = itemPort(port);
  const typed = !isList(item.type) && item.type !== "any" && !item.type.startsWith("~");
  const put = (i: number, next: Json) => onChange(items.map((old, j) => (j === i ? next : old)), `item ${id} ${i}`);
  return (
    <div className="field list nodrag">
      <button id={id} type="button" className="summary" aria-expanded={open} aria-label={`${label}: ${strings.widgets.editList}`}
        onClick={() => setOpen(!open)}>
        {items.length > 0 && items.length < 9 ? summary(items) : strings.widgets.items(items.length)}
      </button>
      {open && (
        <div className="popover nowheel">
          <ol>
            {items.map((entry, i) => (
              <li key={i} className="row">
                {linkOf(entry) !== null
                  ? <span className="chip">{strings.widgets.linked(linkOf(entry) ?? "")}</span>
                  : typed
                    ? <Field port={item} value={entry} node={node} type={type} bare
                        onChange={(next) => put(i, next ?? initial(item))} />
                    : <input aria-label={`${label} ${i + 1}`} defaultValue={format(entry).trim()}
                        onBlur={(event) => put(i, readItem(event.target.value))} />}
                <button type="button" aria-label={strings.widgets.moveUp} disabled={i === 0}
                  onClick={() => onChange(swapped(items, i))}>↑</button>
                <button type="button" aria-label={strings.widgets.removeItem}
                  onClick={() => onChange(items.filter((_, j) => j !== i))}>×</button>
              </li>
            ))}
          </ol>
          <button type="button" onClick={() => onChange([...items, items.at(-1) ?? (typed ? initial(item) : 0)])}>
            {strings.widgets.addItem}
          </button>
        </div>
      )}
    </div>
  );
}

function summary(items: readonly Json[]): string {
  return items.map((item) => {
    const link = linkOf(item);
    if (link !== null) return `← ${link}`;
    if (item instanceof Exact) return item.text;
    return typeof item === "string" ? item : JSON.stringify(item);
  }).join(", ");
}

function swapped(items: readonly Json[], i: number): Json[] {
  const found = [...items];
  const [a, b] = [found[i - 1], found[i]];
  if (a !== undefined && b !== undefined) [found[i - 1], found[i]] = [b, a];
  return found;
}
