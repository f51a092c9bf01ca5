import { numeric } from "@/graph/number";
import { useOptions } from "@/widgets/options";
import type { WidgetProps } from "@/widgets/props";
import { strings } from "@/strings";

/** One of some options: those of the schema, or those that the server knows. A value that is none of them is kept, and marked. */
export function ChoiceWidget({ port, value, onChange, node, type, label, id }: WidgetProps) {
  const asked = port.ui?.choices === true && !port.schema?.enum;
  const found = useOptions(type, port.name, asked);
  const options = port.schema?.enum ?? found ?? [];
  const now = value === undefined ? port.default : value;
  const shown = typeof now === "string" ? now : now === null || now === undefined ? "" : String(numeric(now) ?? "");
  const known = options.some((option) => String(option) === shown);
  const missing = shown !== "" && !known && (!asked || found !== undefined);
  const noun = port.ui?.widget === "model" ? strings.widgets.modelMissing(shown) : undefined;
  return (
    <span className={missing ? "field choice missing" : "field choice"}>
      <select
        id={id}
        aria-label={label}
        aria-invalid={missing}
        title={missing ? noun : undefined}
        data-node={node}
        value={shown}
        onChange={(event) => {
          const option = options.find((option) => String(option) === event.target.value);
          onChange(option ?? (event.target.value === "" && port.optional ? null : event.target.value));
        }}
      >
        {(shown === "" || port.optional) && <option value="">{port.optional ? strings.widgets.unset : strings.widgets.choose}</option>}
        {shown !== "" && !known && <option value={shown}>{missing && noun ? noun : shown}</option>}
        {options.map((option) => <option key={option} value={option}>{option}</option>)}
      </select>
    </span>
  );
}
