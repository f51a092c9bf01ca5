/** Pictures that are dropped or pasted on the graph: each is uploaded, and a node that loads it is added. */
import { upload } from "@/api/client";
import { addNode, graphAt, setInput } from "@/canvas/actions";
import type { Graph } from "@/graph/document";
import type { Point } from "@/graph/edit";
import type { NodeType } from "@/graph/nodetype";
import { portsOf } from "@/graph/typing";
import { widgetOf } from "@/graph/widget";
import { openFiles } from "@/session/files";
import { perform } from "@/session/refresh";
import { useCatalogue } from "@/store/catalogue";
import { tell } from "@/store/notices";
import { strings } from "@/strings";

const words = strings.panels.files;
/** How far below each other the nodes of several pictures stand. */
const APART = 230;

/** Files that were dropped: a workflow is opened, also one in a picture; any other picture gets a node. */
export function dropFiles(files: readonly File[], [x, y]: Point): void {
  const work = openFiles(files).then(async (others) => {
    const pictures = others.filter(isPicture);
    for (const file of others) if (!isPicture(file)) tell({ kind: "error", title: words.noWorkflow(file.name) });
    const at = graphAt([x, y]);
    for (const [i, file] of pictures.entries()) await addPicture(file, [at.place[0], at.place[1] + i * APART], at.graph);
  });
  perform(work, words.openFailed);
}

/** Upload a picture and add a node that loads it. */
export async function addPicture(file: Blob, place: Point, graph: Graph): Promise<void> {
  const kind = loader();
  const port = kind && portOf(kind);
  if (!kind || !port) return;
  const { name } = await upload(file, file instanceof File ? file.name : words.picture);
  setInput(addNode(kind, place, graph), port, name, "picture");
}

function isPicture(file: File): boolean {
  return file.type.startsWith("image/");
}

/** The node type that needs a picture and nothing else. */
function loader(): NodeType | undefined {
  return [...useCatalogue.getState().types.values()].find((kind) => {
    const needed = portsOf(kind).filter((port) => port.default === undefined && !port.optional);
    return needed.length === 1 && needed[0] === portOf(kind) && !kind.deprecated;
  });
}

function portOf(kind: NodeType) {
  return portsOf(kind).find((port) => widgetOf(port) === "image");
}
