/** Opening and saving: from the server, from files and pictures, into files. */
import * as client from "@/api/client";
import { workflowIn } from "@/api/picture";
import { Refusal } from "@/api/request";
import { perform, refreshShelf } from "@/session/refresh";
import { activeTab, readDocument, textOf, useEditor, type Tab } from "@/store/editor";
import { tell } from "@/store/notices";
import { strings } from "@/strings";

const words = strings.panels.files;

/** The title of a tab. */
export function titleOf(tab: Tab): string {
  const title = tab.document["name"];
  return typeof title === "string" && title ? title : (tab.name ?? words.untitled);
}

/** A title as a name on the server: "Two cats!" is `two-cats`. */
export function slug(title: string): string {
  return title.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80) || "workflow";
}

/** Open a workflow of the server in a tab, or show the tab that has it. A shipped one opens as a copy. */
export async function openShelved(name: string, shipped: boolean): Promise<void> {
  const there = shipped ? undefined : useEditor.getState().tabs.find((tab) => tab.name === name);
  if (there) return useEditor.getState().activate(there.id);
  const { document, etag } = await client.workflow(name);
  useEditor.getState().open(document, shipped ? { saved: true } : { name, etag, saved: true });
}

/** Open a run's workflow as it was run. */
export async function openRun(job: string): Promise<void> {
  useEditor.getState().open(await client.workflowOf(job));
}

/** Open files that were chosen or dropped: JSON, or pictures with their workflow inside. Gives those that are none. */
export async function openFiles(files: readonly File[]): Promise<File[]> {
  const others: File[] = [];
  for (const file of files) {
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const picture = file.type.startsWith("image/") || /\.(png|jpe?g|webp)$/i.test(file.name);
      const text = picture ? await workflowIn(bytes) : new TextDecoder().decode(bytes);
      if (text === null) others.push(file);
      else useEditor.getState().open(readDocument(text));
    } catch (error) {
      tell({ kind: "error", title: words.unreadable(file.name), detail: error instanceof Error ? error.message : "" });
    }
  }
  return others;
}

/** Save the active tab on the server: where it came from, else under a name made of its title. */
export async function saveActive(name?: string): Promise<void> {
  const tab = activeTab();
  const document = tab.document;
  const under = name ?? tab.name ?? slug(titleOf(tab));
  const etag = under === tab.name ? tab.etag : null;
  try {
    const fresh = await client.save(under, document, etag);
    useEditor.getState().markSaved(tab.id, document, under, fresh);
    tell({ kind: "done", title: words.saved(under) });
    await refreshShelf();
  } catch (error) {
    if (!(error instanceof Refusal) || (error.status !== 412 && error.status !== 409)) throw error;
    tell({
      kind: "error",
      title: words.changed(under),
      detail: error.detail,
      action: { label: words.saveCopy, run: () => perform(saveCopy(under), words.saveFailed) },
    });
  }
}

/** Save the active tab under the next name that is free. */
export async function saveCopy(name: string): Promise<void> {
  const taken = new Set((await client.workflows()).map((entry) => entry.name));
  const stem = name.replace(/-\d+$/, "").slice(0, 76);
  let count = 2;
  while (taken.has(`${stem}-${count}`)) count++;
  await saveActive(`${stem}-${count}`);
}

/** Hand the active tab's file to the browser's downloads. */
export function download(): void {
  const tab = activeTab();
  const url = URL.createObjectURL(new Blob([textOf(tab.document)], { type: "application/json" }));
  const link = window.document.createElement("a");
  link.href = url;
  link.download = `${slug(titleOf(tab))}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Let a person choose files to open. */
export function chooseFiles(): void {
  const input = window.document.createElement("input");
  input.type = "file";
  input.accept = ".json,.png,application/json,image/png";
  input.multiple = true;
  input.onchange = () => {
    perform(
      openFiles([...(input.files ?? [])]).then((others) => {
        for (const file of others) tell({ kind: "error", title: words.noWorkflow(file.name) });
      }),
      words.openFailed,
    );
  };
  input.click();
}
