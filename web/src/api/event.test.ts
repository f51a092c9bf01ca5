import { describe, expect, it } from "vitest";
import { entries, preview } from "@/api/event";

function frame(header: object, bytes: readonly number[]): ArrayBuffer {
  const head = new TextEncoder().encode(JSON.stringify(header));
  const all = new Uint8Array(4 + head.length + bytes.length);
  new DataView(all.buffer).setUint32(0, head.length);
  all.set(head, 4);
  all.set(bytes, 4 + head.length);
  return all.buffer;
}

describe("a binary frame", () => {
  it("is a header and a picture", () => {
    const found = preview(frame({ job: "j", node: "n", media: "image/webp", width: 2, height: 3 }, [1, 2, 3]));
    expect(found).toMatchObject({ job: "j", node: "n", width: 2, height: 3 });
    expect(found?.image.type).toBe("image/webp");
    expect(found?.image.size).toBe(3);
  });
  it("that is cut off is none", () => {
    const whole = frame({ job: "j", node: "n", media: "image/webp" }, []);
    for (let length = 0; length < whole.byteLength; length++) expect(preview(whole.slice(0, length))).toBeNull();
  });
});

describe("a text frame", () => {
  it("holds events, or says that some are lost", () => {
    const entry = { sequence: 4, job: "j", time: 1, event: { event: "node_started", node: "n" } };
    expect(entries(JSON.stringify([entry]))).toEqual([entry]);
    expect(entries('{"lost": true, "since": 3}')).toBe("lost");
    expect(entries('{"nodes": true}')).toBe("nodes");
    expect(entries('{"other": true}')).toBe(null);
  });
  it("of anything else is ignored", () => {
    for (const text of ["", "{", "null", "3", '{"found": 1}']) expect(entries(text)).toBeNull();
  });
});
