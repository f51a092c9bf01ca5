/** Everything that keeps the workflow from running; each entry leads to its node. */
import { useProblems } from "@/live/link";
import { useCatalogue } from "@/store/catalogue";
import { useEditor } from "@/store/editor";
import { strings } from "@/strings";
import "@/panels/side.css";

const words = strings.panels.problems;

export default function ProblemsPanel() {
  const active = useEditor((state) => state.active);
  const problems = useProblems(active) ?? [];
  const packs = useCatalogue((state) => state.problems);
  return (
    <>
      {problems.length === 0 && <p className="empty good">{words.none}</p>}
      <ul className="problems">
        {problems.map(({ node, input, text }, i) => (
          <li key={`${node} ${input} ${i}`}>
            {node ? (
              <button type="button" title={words.go(node)} onClick={() => useEditor.getState().show(node, input)}>
                <b>{[node, input].filter(Boolean).join(".")}</b>
                <span>{text}</span>
              </button>
            ) : (
              <div>
                <b>{input || words.file}</b>
                <span>{text}</span>
              </div>
            )}
          </li>
        ))}
      </ul>
      {packs.length > 0 && (
        <>
          <h3>{words.packs}</h3>
          <ul className="problems">
            {packs.map(({ pack, text, trace }) => (
              <li key={`${pack} ${text}`}>
                <div>
                  <b>{pack}</b>
                  <pre>{text}</pre>
                  {trace && <details><summary>{words.trace}</summary><pre>{trace}</pre></details>}
                </div>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}
