import type { WidgetProps } from "@/widgets/props";
import { strings } from "@/strings";

/** A switch. */
export function BoolWidget({ port, value, onChange, label, id }: WidgetProps) {
  const on = (value === undefined ? port.default : value) === true;
  return (
    <span className="field bool">
      <input id={id} type="checkbox" role="switch" aria-label={label} checked={on}
        onChange={(event) => onChange(event.target.checked)} />
      <span className="quiet" aria-hidden="true">{on ? strings.widgets.on : strings.widgets.off}</span>
    </span>
  );
}
