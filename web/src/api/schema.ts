export type State = "queued" | "running" | "done" | "failed" | "cancelled";

export interface Job {
  readonly id: string;
  readonly state: State;
  readonly priority: number;
  readonly attempts: number;
  readonly cancelling: boolean;
  readonly pinned: boolean;
  readonly created: number;
  readonly started: number | null;
  readonly ended: number | null;
  readonly error: string;
  readonly worker: string | null;
  readonly client: string;
  readonly name: string;
}

export interface Output {
  readonly id: string;
  readonly name: string;
  readonly media: string;
  readonly size: number;
  readonly url: string;
}

export interface JobDetail extends Job {
  readonly workflow: unknown;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly targets: readonly string[];
  readonly outputs: readonly Output[];
  readonly result: Readonly<Record<string, unknown>>;
}

export interface JobPage {
  readonly jobs: readonly Job[];
  readonly cursor: string | null;
}

export interface Line {
  readonly paused: boolean;
  readonly waiting: readonly Job[];
  readonly running: readonly Job[];
  readonly counts: Readonly<Record<string, number>>;
}

export interface Place {
  readonly node: string;
  readonly input: string;
  readonly text: string;
}

export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly problems?: readonly Place[];
}

export interface Planned {
  readonly steps: readonly string[];
  readonly cached: readonly string[];
  readonly skipped: readonly string[];
}

export interface Shelved {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly shipped: boolean;
  readonly modified: number;
  readonly etag: string;
  readonly picture: string | null;
}

export interface Upload {
  readonly name: string;
  readonly width: number;
  readonly height: number;
}

export interface ModelRow {
  readonly name: string;
  readonly kind: string;
  readonly family: string;
  readonly size: number;
  readonly precision: string;
  readonly problem: string;
  readonly missing: readonly string[];
}
