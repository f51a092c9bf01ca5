// @vitest-environment node
import { deflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { workflowIn } from "@/api/picture";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

function chunk(kind: string, body: Uint8Array): number[] {
  const length = [24, 16, 8, 0].map((shift) => (body.length >>> shift) & 255);
  return [...length, ...Buffer.from(kind, "latin1"), ...body, 0, 0, 0, 0];
}

function png(...chunks: number[][]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...SIGNATURE, ...chunk("IHDR", new Uint8Array(13)), ...chunks.flat(), ...chunk("IEND", new Uint8Array())]);
}

const join = (...parts: (string | Uint8Array)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "utf8") : part)));
const TEXT = '{"name": "Häuser ☃"}';

describe("the workflow in a PNG", () => {
  it("is found in a plain text", async () => {
    expect(await workflowIn(png(chunk("tEXt", join("Software\0x")), chunk("tEXt", join("workflow\0{}"))))).toBe("{}");
  });
  it("is found in a compressed text", async () => {
    expect(await workflowIn(png(chunk("zTXt", join("workflow\0\0", deflateSync("{}")))))).toBe("{}");
  });
  it("is found in a Unicode text", async () => {
    expect(await workflowIn(png(chunk("iTXt", join("workflow\0\0\0\0\0", TEXT))))).toBe(TEXT);
  });
  it("is found in a compressed Unicode text with a language", async () => {
    const body = join("workflow\0", Uint8Array.of(1, 0), "de\0Graph\0", deflateSync(TEXT));
    expect(await workflowIn(png(chunk("iTXt", body)))).toBe(TEXT);
  });
  it("is not there in other pictures", async () => {
    expect(await workflowIn(png(chunk("tEXt", join("Comment\0workflow"))))).toBeNull();
    expect(await workflowIn(Uint8Array.of(0xff, 0xd8, 0xff))).toBeNull();
    expect(await workflowIn(new Uint8Array())).toBeNull();
  });
  it("that is cut off is none", async () => {
    const whole = png(chunk("tEXt", join("workflow\0{}")));
    for (let length = 0; length < 40; length++) expect(await workflowIn(whole.slice(0, length))).toBeNull();
  });
});
