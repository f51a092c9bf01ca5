/** Blob URLs of previews: one for each node, and the one before is given back when the next is drawn. */

const urls = new Map<string, string>();
/** How long the picture before stays, so that nothing flickers, in milliseconds. */
const LATER = 1000;

/** A URL for the newest picture of a node. */
export function pictureOf(tab: string, node: string, image: Blob): string {
  const key = `${tab} ${node}`;
  const before = urls.get(key);
  if (before) setTimeout(() => URL.revokeObjectURL(before), LATER);
  const url = URL.createObjectURL(image);
  urls.set(key, url);
  return url;
}

/** Give back the pictures of a tab that was closed. */
export function forgetPictures(tab: string): void {
  for (const [key, url] of urls) {
    if (!key.startsWith(`${tab} `)) continue;
    URL.revokeObjectURL(url);
    urls.delete(key);
  }
}

/** How many URLs are held. */
export function held(): number {
  return urls.size;
}
