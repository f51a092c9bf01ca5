/** What a person may choose, and what the server is. */
import { useServer } from "@/live/link";
import { useCatalogue } from "@/store/catalogue";
import { useSettings, type Theme } from "@/store/settings";
import { strings } from "@/strings";
import "@/panels/side.css";

const words = strings.panels.settings;
const THEMES: readonly Theme[] = ["system", "dark", "light"];

export default function SettingsPanel() {
  const { theme, setTheme, setSheet, setPanel } = useSettings();
  const link = useServer((state) => state.link);
  const types = useCatalogue((state) => state.types.size);
  return (
    <>
      <fieldset className="choice">
        <legend>{words.theme}</legend>
        {THEMES.map((one) => (
          <label key={one}>
            <input type="radio" name="theme" checked={theme === one} onChange={() => setTheme(one)} />
            {words[one]}
          </label>
        ))}
      </fieldset>
      <h3>{words.server}</h3>
      <p>
        <span className={`lamp ${link}`} /> {link === "open" ? words.connected : strings.panels.link.away}
      </p>
      <p className="quiet">{words.types(types)}</p>
      <p className="quiet">{words.draft}</p>
      <div className="row">
        <button type="button" className="button framed" onClick={() => setSheet(true)}>{strings.panels.shortcuts.title}</button>
        <button type="button" className="button framed narrow-only" onClick={() => setPanel("models")}>{strings.panels.rail.models}</button>
      </div>
    </>
  );
}
