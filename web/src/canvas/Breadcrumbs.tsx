import { useEditor, type Tab } from "@/store/editor";
import { strings } from "@/strings";

/** Which sub-workflow is shown, and the way back out. */
export function Breadcrumbs({ tab }: { readonly tab: Tab }) {
  if (!tab.inside.length) return null;
  const { leave } = useEditor.getState();
  return (
    <nav className="crumbs" aria-label={strings.canvas.inside}>
      <button type="button" onClick={() => leave(0)}>{strings.canvas.top}</button>
      {tab.inside.map(({ graph, node }, i) => (
        <span key={`${graph} ${node}`}>
          <span aria-hidden="true"> › </span>
          <button type="button" aria-current={i === tab.inside.length - 1 ? "page" : undefined} onClick={() => leave(i + 1)}>
            {graph.replace(/_/g, " ")}
          </button>
        </span>
      ))}
    </nav>
  );
}
