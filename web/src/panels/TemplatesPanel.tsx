/** Workflows to begin with: those that are shipped, and those that were saved on the server. */
import { useEffect, useState } from "react";
import * as client from "@/api/client";
import type { Saved } from "@/api/schema";
import { useServer } from "@/live/link";
import { Button } from "@/panels/Button";
import { askSure } from "@/panels/question";
import { openShelved } from "@/session/files";
import { attempt, perform, refreshShelf } from "@/session/refresh";
import { useSettings } from "@/store/settings";
import { strings } from "@/strings";
import "@/panels/side.css";

const words = strings.panels.templates;

/** The workflow to begin with stands above the others. */
const FIRST = "text_to_image";

export default function TemplatesPanel() {
  const shelf = useServer((state) => state.shelf);
  const [filter, setFilter] = useState("");
  useEffect(() => attempt(refreshShelf()), []);
  const wanted = filter.toLowerCase().split(/\s+/);
  const found = shelf.filter((entry) => {
    const text = `${entry.name} ${entry.title} ${entry.description}`.toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
  const saved = found.filter((entry) => !entry.shipped);
  const shipped = found
    .filter((entry) => entry.shipped)
    .sort((a, b) => Number(b.name === FIRST) - Number(a.name === FIRST));
  return (
    <>
      <input
        type="search"
        className="filter"
        aria-label={words.filter}
        placeholder={words.filter}
        value={filter}
        onChange={(event) => setFilter(event.target.value)}
      />
      {found.length === 0 && <p className="empty">{words.none}</p>}
      {(saved.length > 0 || !filter) && (
        <>
          <h3>{words.saved}</h3>
          {saved.length === 0 && <p className="empty">{words.nothingSaved}</p>}
          <ul className="templates">{saved.map((entry) => <Entry key={entry.name} entry={entry} />)}</ul>
        </>
      )}
      {shipped.length > 0 && (
        <>
          <h3>{words.shipped}</h3>
          <ul className="templates">{shipped.map((entry) => <Entry key={entry.name} entry={entry} />)}</ul>
        </>
      )}
    </>
  );
}

function Entry({ entry }: { readonly entry: Saved }) {
  const title = entry.title || entry.name;
  const open = () => {
    perform(openShelved(entry.name, entry.shipped), strings.panels.files.openFailed);
    if (window.matchMedia("(max-width: 720px)").matches) useSettings.getState().setPanel(null);
  };
  const remove = async () => {
    if (!(await askSure(words.removeSure(title), strings.panels.gallery.remove))) return;
    await client.discard(entry.name, entry.etag);
    await refreshShelf();
  };
  return (
    <li>
      <button type="button" className="template" onClick={open}>
        {entry.picture
          ? <img src={entry.picture} alt="" loading="lazy" />
          : <span className="no-picture" aria-hidden="true">{title.slice(0, 1)}</span>}
        <span className="template-words">
          <strong>{title}</strong>
          <span className="quiet">{entry.description}</span>
        </span>
      </button>
      {!entry.shipped && (
        <Button icon="trash" label={words.remove(title)} onClick={() => perform(remove(), words.removeFailed)} />
      )}
    </li>
  );
}
