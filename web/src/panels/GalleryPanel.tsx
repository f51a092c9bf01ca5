/** Past runs with their pictures, newest first. */
import { useEffect } from "react";
import * as client from "@/api/client";
import type { JobDetail } from "@/api/schema";
import { useServer } from "@/live/link";
import { Button } from "@/panels/Button";
import { seedsOf, setSeeds } from "@/session/seeds";
import { showPicture } from "@/panels/viewing";
import { openRun } from "@/session/files";
import { attempt, morePast, perform, refreshPast } from "@/session/refresh";
import { tell } from "@/store/notices";
import { strings } from "@/strings";
import "@/panels/side.css";

const words = strings.panels.gallery;

export default function GalleryPanel() {
  const past = useServer((state) => state.past);
  const more = useServer((state) => Boolean(state.cursor));
  useEffect(() => attempt(refreshPast()), []);
  if (!past.length) return <p className="empty">{words.empty}</p>;
  return (
    <>
      <ol className="gallery">
        {past.map((job) => <Card key={job.id} job={job} />)}
      </ol>
      {more && (
        <button type="button" className="button wide" onClick={() => attempt(morePast())}>{words.more}</button>
      )}
    </>
  );
}

function Card({ job }: { readonly job: JobDetail }) {
  const pictures = job.outputs.filter((output) => output.media.startsWith("image/"));
  const others = job.outputs.filter((output) => !output.media.startsWith("image/"));
  const title = job.name || strings.panels.files.untitled;
  const seeds = seedsOf(job);
  return (
    <li className={`card ${pictures.length > 1 || job.state === "failed" ? "wide-card" : ""}`} aria-label={title}>
      {pictures.length > 0 && (
        <div className={`pictures ${pictures.length > 1 ? "many" : ""}`}>
          {pictures.map((output) => (
            <button
              key={output.id}
              type="button"
              aria-label={words.open(output.name)}
              onClick={() => showPicture(job.id, output.id)}
            >
              <img src={`${output.url}?size=320`} alt={words.picture(output.name)} loading="lazy" />
            </button>
          ))}
        </div>
      )}
      <div className="card-foot">
        <div className="card-words">
          <strong>{title}</strong>
          <span className="quiet">
            {job.state === "done" ? <When job={job} /> : <State job={job} />}
          </span>
          {others.map((output) => (
            <a key={output.id} href={`${output.url}?download=1`} download>{output.name}</a>
          ))}
          {job.state === "failed" && <p className="error-words">{job.error}</p>}
        </div>
        <div className="card-buttons">
          <Button icon="graph" label={words.load} onClick={() => perform(openRun(job.id), strings.panels.files.openFailed)} />
          {seeds.length > 0 && (
            <Button
              icon="seed"
              label={words.seed}
              onClick={() => {
                const count = setSeeds(seeds);
                tell(count ? { kind: "done", title: words.seeds(count) } : { kind: "info", title: words.noSeed });
              }}
            />
          )}
          {job.state !== "done" && (
            <Button icon="again" label={words.retry} onClick={() => perform(client.retry(job.id), strings.panels.run.failed)} />
          )}
          <Button icon="trash" label={`${words.remove} ${title}`} onClick={() => perform(client.remove(job.id), words.removeFailed)} />
        </div>
      </div>
    </li>
  );
}

function State({ job }: { readonly job: JobDetail }) {
  return <b className={job.state}>{job.state === "failed" ? words.failed : words.cancelled}</b>;
}

function When({ job }: { readonly job: JobDetail }) {
  const time = new Date(job.created * 1000);
  const seconds = job.started !== null && job.ended !== null ? job.ended - job.started : null;
  return (
    <>
      <time dateTime={time.toISOString()}>{time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}</time>
      {seconds !== null && ` · ${words.took(seconds < 10 ? seconds.toFixed(1) : Math.round(seconds).toString())}`}
    </>
  );
}
