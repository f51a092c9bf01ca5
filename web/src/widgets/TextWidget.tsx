import { useEffect, useState } from "react";
import type { WidgetProps } from "@/widgets/props";
import { strings } from "@/strings";

/** A line of text, or several. Typing is written at once; what follows within a second is undone as one. */
export function TextWidget({ port, value, onChange, label, id, lines }: WidgetProps & { readonly lines: boolean }) {
  const now = value === undefined ? port.default : value;
  const text = typeof now === "string" ? now : now === null || now === undefined ? "" : JSON.stringify(now);
  const [draft, setDraft] = useState(text);
  useEffect(() => setDraft(text), [text]);
  const wrong = port.schema?.pattern !== undefined && draft !== "" && !matches(port.schema.pattern, draft);
  const shared = {
    id,
    "aria-label": label,
    "aria-invalid": wrong,
    title: wrong ? port.schema?.description : undefined,
    maxLength: port.schema?.maxLength,
    spellCheck: false,
    placeholder: now === null ? strings.widgets.unset : undefined,
    value: draft,
    onChange: (event: { readonly target: { readonly value: string } }) => {
      setDraft(event.target.value);
      onChange(event.target.value === "" && port.optional ? null : event.target.value, `type ${id}`);
    },
  };
  return lines
    ? <textarea className="field nowheel nodrag" {...shared} />
    : <span className="field"><input type="text" autoComplete="off" {...shared} /></span>;
}

function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true; // written for Python in a way that JavaScript does not read; the server will say
  }
}
