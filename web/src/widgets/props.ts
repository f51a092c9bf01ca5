/** What every widget gets. */
import type { Json } from "@/graph/json";
import type { Port } from "@/graph/nodetype";

export interface WidgetProps {
  readonly port: Port;
  /** What is set; undefined where the default stands. */
  readonly value: Json | undefined;
  /** `merge`: changes of one name that follow each other are undone as one. */
  readonly onChange: (value: Json | undefined, merge?: string) => void;
  readonly node: string;
  readonly type: string;
  /** The name of the input for a screen reader. */
  readonly label: string;
  /** The id of the field, for its label. */
  readonly id: string;
}
