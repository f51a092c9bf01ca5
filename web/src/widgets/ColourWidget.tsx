import { TextWidget } from "@/widgets/TextWidget";
import type { WidgetProps } from "@/widgets/props";

/** A colour: picked, or written. */
export function ColourWidget(props: WidgetProps) {
  const now = props.value === undefined ? props.port.default : props.value;
  const plain = typeof now === "string" && /^#[0-9a-f]{6}$/i.test(now) ? now : "#808080";
  return (
    <span className="field colour">
      <input type="color" aria-label={props.label} value={plain}
        onChange={(event) => props.onChange(event.target.value, `colour ${props.id}`)} />
      <TextWidget {...props} lines={false} />
    </span>
  );
}
