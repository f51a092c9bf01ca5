import { memo, useId } from "react";
import type { Json } from "@/graph/json";
import { label as labelOf } from "@/graph/geometry";
import type { Port } from "@/graph/nodetype";
import { widgetOf } from "@/graph/widget";
import { BoolWidget } from "@/widgets/BoolWidget";
import { ChoiceWidget } from "@/widgets/ChoiceWidget";
import { ColourWidget } from "@/widgets/ColourWidget";
import { ImageWidget } from "@/widgets/ImageWidget";
import { ListWidget } from "@/widgets/ListWidget";
import { NumberWidget } from "@/widgets/NumberWidget";
import { SeedWidget } from "@/widgets/SeedWidget";
import { SliderWidget } from "@/widgets/SliderWidget";
import { TextWidget } from "@/widgets/TextWidget";
import type { WidgetProps } from "@/widgets/props";
import "@/widgets/widgets.css";

export interface FieldProps {
  readonly port: Port;
  readonly value: Json | undefined;
  readonly onChange: (value: Json | undefined, merge?: string) => void;
  readonly node: string;
  readonly type: string;
  /** Without a label: it stands elsewhere. */
  readonly bare?: boolean;
  /** What it is called, where that is not the input's name. */
  readonly title?: string;
}

/** One input of a node: its label and its widget, chosen from the port alone. */
export const Field = memo(function Field({ port, value, onChange, node, type, bare = false, title }: FieldProps) {
  const id = useId();
  const label = title ?? labelOf(port);
  const widget = <Widget port={port} value={value} onChange={onChange} node={node} type={type} label={label} id={id} />;
  if (bare) return widget;
  return (
    <div className={`labelled ${widgetOf(port)}`}>
      <label htmlFor={id}>{label}</label>
      {widget}
    </div>
  );
});

function Widget(props: WidgetProps) {
  switch (widgetOf(props.port)) {
    case "int":
    case "float": return <NumberWidget {...props} />;
    case "slider": return <SliderWidget {...props} />;
    case "bool": return <BoolWidget {...props} />;
    case "choice": return <ChoiceWidget {...props} />;
    case "model": return <ChoiceWidget {...props} />;
    case "colour": return <ColourWidget {...props} />;
    case "seed": return <SeedWidget {...props} />;
    case "image": return <ImageWidget {...props} mask={false} />;
    case "mask": return <ImageWidget {...props} mask />;
    case "list": return <ListWidget {...props} />;
    case "multiline": return <TextWidget {...props} lines />;
    case "text":
    case "none": return <TextWidget {...props} lines={false} />;
  }
}
