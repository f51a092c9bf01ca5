/** The bodies of the API. Made by `python web/schema.py` from the server's OpenAPI document. */

/** The process answers. */
export interface Alive {
  readonly status?: "alive";
}

/** What of a job is changed. */
export interface Change {
  readonly priority?: number | null;
  readonly pinned?: boolean | null;
}

/** A workflow, as JSON or by its name. */
export interface Check {
  readonly workflow: Readonly<Record<string, unknown>> | string;
}

/** What may be chosen for an input now. */
export interface Choices {
  readonly choices: readonly unknown[];
}

/** A numbered event of a job. */
export interface Entry {
  readonly sequence: number;
  readonly job: string;
  readonly time: number;
  readonly event: Readonly<Record<string, unknown>>;
}

/** Some events. Ask next for those since `last`. `lost`: some in between are not kept any more. */
export interface Events {
  readonly events: readonly Entry[];
  readonly last: number;
  readonly lost: boolean;
}

/** A job. `name` is the title of its workflow; `error` the reason of a failure. */
export interface Job {
  readonly id: string;
  readonly state: "queued" | "running" | "done" | "failed" | "cancelled";
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

/** A job with its workflow as it was run, what it was given, and what it gave. */
export interface JobDetail {
  readonly id: string;
  readonly state: "queued" | "running" | "done" | "failed" | "cancelled";
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
  readonly workflow: Readonly<Record<string, unknown>>;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly targets: readonly string[];
  readonly outputs: readonly Output[];
  readonly result: Readonly<Record<string, unknown>>;
}

/** A page of jobs, newest first; `cursor` asks for the next one, and is null on the last. */
export interface Jobs {
  readonly jobs: readonly Job[];
  readonly cursor: string | null;
}

/** A limit that was gone over, and how much it allows. */
export interface Limit {
  readonly name: string;
  readonly most: number;
}

/** A model under the model roots. `problem` says why it cannot be used, `missing` what it lacks. */
export interface Model {
  readonly name: string;
  readonly kind: string;
  readonly family: string;
  readonly size: number;
  readonly precision: string;
  readonly problem: string;
  readonly missing: readonly string[];
}

/** Everything under the model roots. */
export interface Models {
  readonly models: readonly Model[];
}

/** Where in the queue a job goes; `other` is the job that it goes before or after. */
export interface Move {
  readonly place: "front" | "back" | "before" | "after";
  readonly other?: string | null;
}

/** Every type of nodes, with all that an editor needs to know. */
export interface Nodes {
  readonly types: readonly Readonly<Record<string, unknown>>[];
  readonly wires: readonly Wire[];
  readonly converters: readonly Readonly<Record<string, unknown>>[];
  readonly packs: readonly Pack[];
  readonly problems: readonly PackProblem[];
}

/** A body without anything in it; it may be left out. */
export type Nothing = Readonly<Record<string, never>>;

/** A file that a job gave, and where to get it. */
export interface Output {
  readonly id: string;
  readonly name: string;
  readonly media: string;
  readonly size: number;
  readonly url: string;
}

/** A pack of nodes that is installed. */
export interface Pack {
  readonly name: string;
  readonly version: string;
}

/** A pack, or a node in it, that cannot be used; `trace` is told to who writes packs (`serve --dev`). */
export interface PackProblem {
  readonly pack: string;
  readonly text: string;
  readonly trace?: string;
}

/** A problem of a workflow: which node, which input, and what is wrong there. Empty: the whole. */
export interface Place {
  readonly node: string;
  readonly input: string;
  readonly text: string;
}

/** A workflow as it would be submitted. */
export interface Plan {
  readonly workflow: Readonly<Record<string, unknown>> | string;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly targets?: readonly string[];
}

/** The nodes outside of bodies: those that would run, those that are cached, those that nothing needs. */
export interface Planned {
  readonly steps: readonly string[];
  readonly cached: readonly string[];
  readonly skipped: readonly string[];
}

/** Why a request is not answered as it was asked (RFC 9457). */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly request: string;
  readonly problems?: readonly Place[] | null;
  readonly limit?: Limit | null;
}

/** All that is wrong with a workflow; nothing if it can be run. */
export interface Problems {
  readonly problems: readonly Place[];
}

/** The queue: the first jobs that wait, in their order, and that run, and how many there are by state. */
export interface Queue {
  readonly paused: boolean;
  readonly waiting: readonly Job[];
  readonly running: readonly Job[];
  readonly counts: Readonly<Record<string, number>>;
}

/** Whether jobs are run: `ready` if a worker is; `paused` if the queue is. */
export interface Ready {
  readonly ready: boolean;
  readonly paused: boolean;
  readonly workers: readonly Worker[];
}

/** A workflow of the library. */
export interface Saved {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly shipped: boolean;
  readonly modified: number;
  readonly etag: string;
  readonly picture: string | null;
}

/** A workflow, as JSON or by its name, with values for its inputs; `targets` are the outputs wanted. */
export interface Submit {
  readonly workflow: Readonly<Record<string, unknown>> | string;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly targets?: readonly string[];
  readonly priority?: number;
}

/** A picture that was uploaded; `name` is the value for an input that takes a picture's file. */
export interface Uploaded {
  readonly name: string;
  readonly width: number;
  readonly height: number;
}

/** A type of values, and its colour. */
export interface Wire {
  readonly name: string;
  readonly colour: string;
  readonly doc: string;
}

/** A worker process; `job` is the one that it is at, or empty, `memory` its bytes, `starts` how many. */
export interface Worker {
  readonly name: string;
  readonly device: string;
  readonly ready: boolean;
  readonly job: string;
  readonly memory: number;
  readonly starts: number;
}

/** The library. */
export interface Workflows {
  readonly workflows: readonly Saved[];
}

/** A workflow that was saved, and the etag that it has now. */
export interface Written {
  readonly name: string;
  readonly etag: string;
}
