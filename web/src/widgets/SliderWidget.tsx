import { numeric, real } from "@/graph/number";
import { fraction, valueAt, clamped } from "@/widgets/bounds";
import { NumberWidget } from "@/widgets/NumberWidget";
import type { WidgetProps } from "@/widgets/props";

/** How finely a slider is divided. */
const PARTS = 1000;

/** A number between two bounds: dragged, or typed at its right. */
export function SliderWidget(props: WidgetProps) {
  const { port, value, onChange, label, id } = props;
  const number = numeric(value === undefined ? port.default : value) ?? 0;
  const place = Math.round(Math.min(1, Math.max(0, fraction(number, port))) * PARTS);
  return (
    <span className="field slider">
      <input
        type="range"
        className="nodrag"
        aria-label={label}
        aria-valuetext={String(number)}
        min={0}
        max={PARTS}
        step={1}
        value={place}
        style={{ "--at": `${place / 10}%` } as React.CSSProperties}
        onChange={(event) => {
          const next = clamped(valueAt(Number(event.target.value) / PARTS, port), port);
          onChange(port.type === "int" ? Math.round(next) : real(next), `slide ${id}`);
        }}
      />
      <NumberWidget {...props} />
    </span>
  );
}
