import { useState, type KeyboardEvent } from "react";
import { numeric, real } from "@/graph/number";
import { clamped, plainly, stepOf } from "@/widgets/bounds";
import type { WidgetProps } from "@/widgets/props";
import { strings } from "@/strings";

/** A whole number or a float: typed, or stepped with the arrow keys. */
export function NumberWidget({ port, value, onChange, label, id }: WidgetProps) {
  const number = numeric(value === undefined ? port.default : value);
  const [draft, setDraft] = useState<string | null>(null);
  const whole = port.type === "int";
  const write = (next: number, merge?: string) => {
    const fine = clamped(next, port);
    onChange(whole ? Math.round(fine) : real(fine), merge);
  };
  const commit = () => {
    if (draft === null) return;
    const text = draft.trim().replace(",", ".");
    if (text === "" && port.optional) onChange(null);
    else if (text !== "" && Number.isFinite(Number(text))) write(Number(text));
    setDraft(null);
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === "Enter") commit();
    if (event.key === "Escape") setDraft(null);
    const up = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    if (!up) return;
    event.preventDefault();
    const typed = draft === null ? NaN : Number(draft);
    const from = Number.isFinite(typed) ? typed : (number ?? 0);
    setDraft(null);
    write(from + up * stepOf(port) * (event.shiftKey ? 10 : 1), `step ${id}`);
  };
  const invalid = draft !== null && draft.trim() !== "" && !Number.isFinite(Number(draft.trim().replace(",", ".")));
  return (
    <span className="field number">
      <input
        id={id}
        aria-label={label}
        aria-invalid={invalid}
        title={invalid ? strings.widgets.notNumber : undefined}
        inputMode={whole ? "numeric" : "decimal"}
        autoComplete="off"
        placeholder={strings.widgets.unset}
        value={draft ?? (number === null ? "" : plainly(number))}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={commit}
        onKeyDown={key}
      />
      {port.ui?.unit && <span className="unit">{port.ui.unit}</span>}
    </span>
  );
}
