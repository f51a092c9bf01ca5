import { lazy, Suspense, useMemo, useRef, useState, type ClipboardEvent, type DragEvent } from "react";
import { upload, uploadUrl } from "@/api/client";
import { isMask } from "@/graph/mask";
import { useCatalogue } from "@/store/catalogue";
import { activeTab, editedSheet, useEditor } from "@/store/editor";
import type { WidgetProps } from "@/widgets/props";
import { strings } from "@/strings";

const MaskPainter = lazy(() => import("@/widgets/MaskPainter"));

/** A picture of the user: chosen, pasted or dropped; a mask is painted too. Its value is the name of the upload. */
export function ImageWidget({ value, onChange, label, id, node, mask }: WidgetProps & { readonly mask: boolean }) {
  const tab = useEditor(activeTab);
  const types = useCatalogue((state) => state.types);
  // the sheet, not the tab, says what reads the picture
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const paintable = useMemo(() => mask || isMask(editedSheet(tab), types, node), [tab.document, tab.inside, tab.view, types, node, mask]);
  const input = useRef<HTMLInputElement>(null);
  const [state, setState] = useState<"" | "busy" | "failed" | "over">("");
  const [painting, setPainting] = useState(false);
  const [unseen, setUnseen] = useState("");
  const name = typeof value === "string" ? value : "";

  const take = (file: Blob | null | undefined, hint = "picture") => {
    if (!file?.type.startsWith("image/")) return;
    setState("busy");
    upload(file, hint).then(
      (found) => {
        setState("");
        onChange(found.name);
      },
      () => setState("failed"),
    );
  };
  const paste = (event: ClipboardEvent) => {
    const file = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    take(file, file.name);
  };
  const drop = (event: DragEvent) => {
    const file = event.dataTransfer.files[0];
    setState("");
    if (!file) return;
    event.preventDefault(); // the graph and the page see that it was taken
    take(file, file.name);
  };
  const text = state === "busy" ? strings.widgets.uploading : state === "failed" ? strings.widgets.uploadFailed : "";
  return (
    <div
      className={`field image nodrag ${state}`}
      onPaste={paste}
      onDrop={drop}
      onDragOver={(event) => {
        event.preventDefault();
        event.stopPropagation();
        setState("over");
      }}
      onDragLeave={() => setState("")}
    >
      <button id={id} type="button" className="picture" aria-label={`${label}: ${name ? strings.widgets.replace : strings.widgets.image}`}
        onKeyDown={(event) => {
          if ((event.ctrlKey || event.metaKey) && event.key === "v") event.stopPropagation(); // the picture goes here
        }}
        onClick={() => input.current?.click()}>
        {name && unseen !== name
          ? <img src={uploadUrl(name)} alt="" draggable={false} onError={() => setUnseen(name)} />
          : <span>{text || name || strings.widgets.image}</span>}
      </button>
      <input ref={input} type="file" hidden accept="image/png,image/jpeg,image/webp"
        onChange={(event) => take(event.target.files?.[0], event.target.files?.[0]?.name)} />
      <span className="row">
        {text && name && <span className="quiet" role="status">{text}</span>}
        {paintable && <button type="button" onClick={() => setPainting(true)}>{strings.widgets.paint}</button>}
        {name && <button type="button" onClick={() => onChange(undefined)}>{strings.widgets.clear}</button>}
      </span>
      {painting && (
        <Suspense>
          <MaskPainter start={name} node={node} onCancel={() => setPainting(false)} onDone={(file) => {
            setPainting(false);
            take(file, "mask");
          }} />
        </Suspense>
      )}
    </div>
  );
}
