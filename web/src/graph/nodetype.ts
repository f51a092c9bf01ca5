/** What the server says of a node type: the shape of `GET /api/nodes`. */
import type { Json } from "@/graph/json";

/** A name ("Image", "int", "any"), a type variable ("~T"), or a list of one. */
export type TypeRef = string | readonly ["list", TypeRef];

/** JSON Schema keywords of a literal. */
export interface PortSchema {
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly enum?: readonly (string | number)[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly description?: string;
  readonly items?: PortSchema;
}

/** How an input asks to be drawn. `choices`: its options are asked from the server. */
export interface PortUi {
  readonly widget?: string;
  readonly label?: string;
  readonly scale?: "linear" | "log";
  readonly step?: number;
  readonly unit?: string;
  readonly choices?: boolean;
}

export interface Port {
  readonly name: string;
  readonly type: TypeRef;
  readonly kind: "value" | "lazy" | "body" | "context";
  /** Absent where the input must be given. */
  readonly default?: Json;
  readonly optional?: boolean;
  /** The types of a body's inputs. */
  readonly params?: readonly TypeRef[];
  readonly schema?: PortSchema;
  readonly ui?: PortUi;
}

export interface NodeType {
  readonly id: string;
  readonly title: string;
  readonly category: string;
  readonly doc: string;
  readonly inputs: readonly Port[];
  readonly outputs: Readonly<Record<string, TypeRef>>;
  readonly version: number;
  readonly aliases: readonly string[];
  readonly deprecated: string;
  readonly experimental: boolean;
}

export interface WireType {
  readonly name: string;
  readonly colour: string;
  readonly doc: string;
}

/** `GET /api/nodes`. */
export interface NodesAnswer {
  readonly types: readonly NodeType[];
  readonly wires: readonly WireType[];
  readonly converters: readonly unknown[];
  readonly packs: readonly { readonly name: string; readonly version: string }[];
  readonly problems: readonly { readonly pack: string; readonly text: string; readonly trace?: string }[];
}
