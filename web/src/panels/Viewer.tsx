/** A picture, large; with a second one under a slider. */
import { useState } from "react";
import { useServer } from "@/live/link";
import { Button } from "@/panels/Button";
import { Dialog } from "@/panels/Dialog";
import { closePicture, pictures, useViewing, type Shown } from "@/panels/viewing";
import { openRun } from "@/session/files";
import { perform } from "@/session/refresh";
import { strings } from "@/strings";
import "@/panels/stage.css";

const words = strings.panels.gallery;

export default function Viewer() {
  const { first, second, picking } = useViewing();
  const all = pictures(useServer((state) => state.past));
  const at = all.findIndex((picture) => picture.id === first);
  const picture = all[at];
  const other = all.find((one) => one.id === second);
  if (!picture) return null;
  const go = (by: number) => {
    const next = all[at + by];
    if (next) useViewing.setState({ first: next.id });
  };
  return (
    <Dialog title={other ? words.compareTitle : picture.name} onClose={closePicture} className="viewer">
      {/* Arrows go through the pictures, also while a button has the focus. */}
      {/* eslint-disable-next-line jsx-a11y/no-static-element-interactions */}
      <div
        className="viewer-body"
        onKeyDown={(event) => {
          if (event.target instanceof HTMLInputElement) return;
          if (event.key === "ArrowLeft") go(-1);
          if (event.key === "ArrowRight") go(1);
        }}
      >
        {other ? <Compare first={picture} second={other} /> : (
          <div className="stage"><img src={picture.url} alt={words.picture(picture.name)} /></div>
        )}
        {picking && (
          <>
            <p>{words.pick}</p>
            <div className="strip">
              {all.filter((one) => one.id !== picture.id).map((one) => (
                <button
                  key={one.id}
                  type="button"
                  aria-label={`${words.compare}: ${one.name}`}
                  onClick={() => useViewing.setState({ second: one.id, picking: false })}
                >
                  <img src={`${one.url}?size=160`} alt="" loading="lazy" />
                </button>
              ))}
            </div>
          </>
        )}
        <footer className="row">
          <Button icon="left" label={words.previous} disabled={at <= 0} onClick={() => go(-1)} />
          <Button icon="right" label={words.next} disabled={at >= all.length - 1} onClick={() => go(1)} />
          <span className="spread" />
          <Button
            icon="compare"
            label={words.compare}
            pressed={picking || other !== undefined}
            disabled={all.length < 2}
            onClick={() => useViewing.setState(other ? { second: null } : { picking: !picking })}
          >
            {words.compare}
          </Button>
          <Button
            icon="graph"
            label={words.load}
            onClick={() => {
              closePicture();
              perform(openRun(picture.job), strings.panels.files.openFailed);
            }}
          >
            {words.load}
          </Button>
          <a className="button" href={`${picture.url}?download=1`} download={picture.name}>{words.download}</a>
        </footer>
      </div>
    </Dialog>
  );
}

/** Two pictures over each other; the slider says how much of the first is seen. */
function Compare({ first, second }: { readonly first: Shown; readonly second: Shown }) {
  const [part, setPart] = useState(50);
  return (
    <div className="compare">
      <div className="stage">
        <img src={second.url} alt={`${words.second}: ${second.name}`} />
        <img className="over" style={{ clipPath: `inset(0 ${100 - part}% 0 0)` }} src={first.url} alt={`${words.first}: ${first.name}`} />
        <span className="edge" style={{ left: `${part}%` }} />
        <input
          type="range"
          min={0}
          max={100}
          value={part}
          aria-label={words.slider}
          onChange={(event) => setPart(event.target.valueAsNumber)}
        />
      </div>
    </div>
  );
}
