/** The workflow inside a PNG: a text chunk named "workflow", plain or compressed. */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const KEYWORD = "workflow";
/** How large a text may become when it is unpacked. */
const LARGEST = 64 << 20;

/** The workflow's JSON text in the bytes of a PNG; null where it has none. */
export async function workflowIn(bytes: Uint8Array<ArrayBuffer>): Promise<string | null> {
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let place = 8; place + 12 <= bytes.length; ) {
    const length = view.getUint32(place);
    const kind = latin(bytes.subarray(place + 4, place + 8));
    const chunk = bytes.subarray(place + 8, place + 8 + length);
    if (chunk.length < length || kind === "IEND") return null;
    const found = await textOf(kind, chunk);
    if (found !== null) return found;
    place += 12 + length;
  }
  return null;
}

/** The text of a chunk, if it is the workflow's. */
async function textOf(kind: string, chunk: Uint8Array<ArrayBuffer>): Promise<string | null> {
  if (kind !== "tEXt" && kind !== "zTXt" && kind !== "iTXt") return null;
  const end = chunk.indexOf(0);
  if (end < 0 || latin(chunk.subarray(0, end)) !== KEYWORD) return null;
  const rest = chunk.subarray(end + 1);
  if (kind === "tEXt") return latin(rest);
  if (kind === "zTXt") return latin(await unpacked(rest.subarray(1)));
  const compressed = rest[0] === 1;
  const language = rest.indexOf(0, 2);
  const title = language < 0 ? -1 : rest.indexOf(0, language + 1);
  if (title < 0) return null;
  const text = rest.subarray(title + 1);
  return new TextDecoder().decode(compressed ? await unpacked(text) : text);
}

async function unpacked(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = stream.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    size += next.value.length;
    if (size > LARGEST) throw new Error("the workflow in this picture is too large");
    parts.push(next.value);
  }
  return new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

function latin(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
