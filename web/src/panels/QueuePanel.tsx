/** The queue: what runs and what waits, in an order that can be changed by dragging and by keys. */
import { useEffect, useRef, useState } from "react";
import * as client from "@/api/client";
import type { Job } from "@/api/schema";
import { useServer } from "@/live/link";
import { useRuns } from "@/live/runs";
import { Button } from "@/panels/Button";
import { Icon } from "@/panels/Icon";
import { perform, refreshLine } from "@/session/refresh";
import { strings } from "@/strings";
import "@/panels/side.css";

const words = strings.panels.queue;

/** The waiting jobs with one of them at another place. */
export function reordered(waiting: readonly Job[], id: string, to: number): readonly Job[] {
  const moved = waiting.find((job) => job.id === id);
  if (!moved) return waiting;
  const rest = waiting.filter((job) => job.id !== id);
  return [...rest.slice(0, to), moved, ...rest.slice(to)];
}

/** How the server is told that a job is now at a place: before or after a neighbour. */
export function neighbour(waiting: readonly Job[], id: string): { place: "before" | "after"; other: string } | null {
  const at = waiting.findIndex((job) => job.id === id);
  const [before, after] = [waiting[at - 1], waiting[at + 1]];
  if (at < 0) return null;
  if (after) return { place: "before", other: after.id };
  return before ? { place: "after", other: before.id } : null;
}

export default function QueuePanel() {
  const line = useServer((state) => state.line);
  const all = line.counts["queued"] ?? 0;
  const more = all - line.waiting.length;
  const [dragged, setDragged] = useState<string | null>(null);
  const [told, setTold] = useState("");
  const list = useRef<HTMLOListElement>(null);

  const put = (job: Job, to: number) => {
    const place = Math.max(0, Math.min(line.waiting.length - 1, to));
    const waiting = reordered(line.waiting, job.id, place);
    const where = neighbour(waiting, job.id);
    if (!where || waiting.every((other, i) => other.id === line.waiting[i]?.id)) return;
    useServer.setState({ line: { ...line, waiting } });
    setTold(words.moved(job.name, place + 1));
    perform(client.move(job.id, where.place, where.other).finally(refreshLine), words.failed);
    requestAnimationFrame(() => list.current?.querySelector<HTMLElement>(`[data-job="${job.id}"]`)?.focus());
  };

  return (
    <>
      <div className="row">
        <Button
          icon={line.paused ? "run" : "pause"}
          label={line.paused ? words.resume : words.pause}
          onClick={() => perform(client.pause(!line.paused).then((next) => useServer.setState({ line: next })), words.failed)}
        >
          {line.paused ? words.resume : words.pause}
        </Button>
        {line.paused && <span className="quiet">{words.paused}</span>}
      </div>
      {line.running.length > 0 && (
        <>
          <h3>{words.running}</h3>
          <ol className="jobs">{line.running.map((job) => <Running key={job.id} job={job} />)}</ol>
        </>
      )}
      {line.waiting.length > 0 && (
        <>
          <h3>{words.waiting}</h3>
          <ol className="jobs" ref={list}>
            {line.waiting.map((job, i) => (
              <li
                key={job.id}
                className={dragged === job.id ? "dragged" : ""}
                onDragOver={(event) => {
                  if (dragged) event.preventDefault();
                }}
                onDrop={(event) => {
                  event.preventDefault();
                  const moved = line.waiting.find((other) => other.id === dragged);
                  if (moved) put(moved, i);
                  setDragged(null);
                }}
              >
                <div
                  role="button"
                  tabIndex={0}
                  data-job={job.id}
                  className="job-row"
                  draggable
                  aria-label={words.item(job.name, i + 1, all)}
                  onDragStart={(event) => {
                    event.dataTransfer.effectAllowed = "move";
                    event.dataTransfer.setData("text/plain", job.id);
                    setDragged(job.id);
                  }}
                  onDragEnd={() => setDragged(null)}
                  onKeyDown={(event) => {
                    if (event.altKey && event.key === "ArrowUp") put(job, i - 1);
                    else if (event.altKey && event.key === "ArrowDown") put(job, i + 1);
                    else return;
                    event.preventDefault();
                  }}
                >
                  <Icon name="grip" />
                  <span className="name">{job.name || strings.panels.files.untitled}</span>
                </div>
                <Priority job={job} />
                <Cancel job={job} />
              </li>
            ))}
          </ol>
          {more > 0 && <p className="quiet">{words.more(more)}</p>}
          <p className="quiet hint">{words.hint}</p>
        </>
      )}
      {line.waiting.length + line.running.length === 0 && <p className="empty">{words.empty}</p>}
      <p className="sr-only" aria-live="polite">{told}</p>
    </>
  );
}

function Running({ job }: { readonly job: Job }) {
  const run = useRuns((state) => state.runs[job.id]);
  return (
    <li>
      <span className="spinner" />
      <span className="name">{job.name || strings.panels.files.untitled}</span>
      {job.cancelling && <span className="quiet">{words.stopping}</span>}
      {run !== undefined && run.steps.size > 0 && <span className="quiet">{run.through}/{run.steps.size}</span>}
      <Since time={job.started} />
      <Cancel job={job} />
    </li>
  );
}

/** Seconds since a time, counting. */
function Since({ time }: { readonly time: number | null }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return time === null ? null : <span className="quiet number">{Math.max(0, Math.round(now / 1000 - time))} s</span>;
}

function Priority({ job }: { readonly job: Job }) {
  return (
    <input
      type="number"
      className="priority"
      aria-label={`${words.priority}: ${job.name}`}
      title={words.priority}
      min={-100}
      max={100}
      defaultValue={job.priority}
      key={job.priority}
      onChange={(event) => {
        const priority = event.target.valueAsNumber;
        if (Number.isInteger(priority)) perform(client.change(job.id, { priority }).finally(refreshLine), words.failed);
      }}
    />
  );
}

function Cancel({ job }: { readonly job: Job }) {
  return (
    <Button
      icon="close"
      label={words.cancel(job.name)}
      disabled={job.cancelling}
      onClick={() => perform(client.cancel(job.id).finally(refreshLine), words.failed)}
    />
  );
}
