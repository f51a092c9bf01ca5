/** What lies under the model roots, and what each lacks. */
import { useEffect } from "react";
import { useServer } from "@/live/link";
import { Button } from "@/panels/Button";
import { attempt, refreshModels } from "@/session/refresh";
import { strings } from "@/strings";
import "@/panels/side.css";

const words = strings.panels.models;

/** Bytes as a person reads them. */
export function size(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power] ?? ""}`;
}

export default function ModelsPanel() {
  const models = useServer((state) => state.models);
  useEffect(() => attempt(refreshModels()), []);
  const kinds = [...new Set((models ?? []).map((model) => model.kind))];
  return (
    <>
      <div className="row">
        <Button icon="again" label={words.refresh} onClick={() => attempt(refreshModels())}>{words.refresh}</Button>
      </div>
      {models?.length === 0 && <p className="empty">{words.none}</p>}
      {kinds.map((kind) => (
        <section key={kind} aria-label={kind}>
          <h3>{kind}</h3>
          <ul className="models">
            {models?.filter((model) => model.kind === kind).map((model) => (
              <li key={model.name}>
                <strong>{model.name}</strong>
                <span className="quiet">
                  {[model.family, model.precision, size(model.size)].filter(Boolean).join(" · ")}
                </span>
                {model.problem && <p className="error-words">{model.problem}</p>}
                {model.missing.length > 0 && <p className="error-words">{words.missing}: {model.missing.join(", ")}</p>}
              </li>
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}
