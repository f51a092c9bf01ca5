import { afterEach, describe, expect, it, vi } from "vitest";
import { ask, data, NoAnswer, Refusal, words } from "@/api/request";

function answer(status: number, body: string, headers: Record<string, string> = {}) {
  vi.stubGlobal("fetch", vi.fn(() => Promise.resolve(new Response(status === 304 ? null : body, { status, headers }))));
}
afterEach(() => vi.unstubAllGlobals());

describe("a request", () => {
  it("gives the data and the version", async () => {
    answer(200, '{"a": 1}', { ETag: '"v"' });
    expect(await data("/x")).toEqual({ a: 1 });
    expect((await ask("/x")).etag).toBe('"v"');
  });
  it("that is refused says why, with every problem", async () => {
    const problems = [{ node: "noise", input: "seed", text: "is missing" }, { node: "", input: "", text: "and more" }];
    answer(422, JSON.stringify({ title: "Unprocessable", status: 422, detail: "no", problems }));
    const error = await ask("/x").catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Refusal);
    expect(error).toMatchObject({ status: 422, title: "Unprocessable", detail: "no" });
    expect(words(error)).toBe("noise.seed: is missing\nand more");
  });
  it("that something else answers is refused with its status", async () => {
    answer(502, "<html>Bad gateway</html>");
    expect(await ask("/x").catch((e: unknown) => e)).toMatchObject({ status: 502, problems: [] });
  });
  it("without an answer says so", async () => {
    vi.stubGlobal("fetch", vi.fn(() => Promise.reject(new TypeError("failed"))));
    expect(await ask("/x").catch((e: unknown) => e)).toBeInstanceOf(NoAnswer);
  });
});
