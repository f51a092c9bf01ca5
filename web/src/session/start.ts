/** The start: node types, drafts, the socket; in this order, and again when the server comes back. */
import * as client from "@/api/client";
import { NoAnswer, Refusal } from "@/api/request";
import { useServer } from "@/live/link";
import { keepDrafts, restoreDraft } from "@/session/drafts";
import { openShelved } from "@/session/files";
import { follow } from "@/session/follow";
import { attempt, refreshShelf } from "@/session/refresh";
import { watch } from "@/session/watch";
import { useCatalogue } from "@/store/catalogue";
import { activeTab, useEditor } from "@/store/editor";
import { keepSettings } from "@/store/settings";

/** Start everything; once, before the first draw. */
export function start(): void {
  keepSettings();
  formFirst();
  const restored = restoreDraft();
  void restored.finally(() => {
    keepDrafts();
    follow();
    watch();
    attempt(named());
  });
  attempt(load());
  useServer.subscribe((state, before) => {
    if (state.link === "open" && before.link !== "open") attempt(load());
  });
}

/** Node types and workflows. */
async function load(): Promise<void> {
  try {
    useCatalogue.getState().load(await client.nodes());
    await refreshShelf();
  } catch (error) {
    const later = error instanceof NoAnswer || (error instanceof Refusal && error.status === 401);
    if (!later) throw error; // once the socket is open, this is done again
  }
}

/** Open the workflow that the address names: `/?workflow=text_to_image`. */
async function named(): Promise<void> {
  const address = new URL(window.location.href);
  const name = address.searchParams.get("workflow");
  if (!name) return;
  address.searchParams.delete("workflow");
  window.history.replaceState(null, "", address);
  const shelf = await client.workflows();
  await openShelved(name, shelf.find((entry) => entry.name === name)?.shipped ?? false);
}

/** On a phone a workflow with named inputs opens as a form. */
function formFirst(): void {
  const narrow = window.matchMedia("(max-width: 720px)");
  useEditor.subscribe((state, before) => {
    const tab = activeTab(state);
    const opened = !before.tabs.some((other) => other.id === tab.id);
    if (opened && narrow.matches && tab.view === "graph" && "inputs" in tab.document) state.setView("form");
  });
}
