import { describe, expect, it } from "vitest";
import type { Job } from "@/api/schema";
import { neighbour, reordered } from "@/panels/QueuePanel";

const jobs = ["a", "b", "c"].map((id) => ({ id }) as Job);
const ids = (found: readonly Job[]) => found.map((job) => job.id).join("");

describe("a job that is moved in the queue", () => {
  it("stands at its new place", () => {
    expect(ids(reordered(jobs, "c", 0))).toBe("cab");
    expect(ids(reordered(jobs, "a", 2))).toBe("bca");
    expect(ids(reordered(jobs, "b", 1))).toBe("abc");
    expect(ids(reordered(jobs, "x", 1))).toBe("abc");
  });
  it("is named to the server by its neighbour", () => {
    expect(neighbour(jobs, "a")).toEqual({ place: "before", other: "b" });
    expect(neighbour(jobs, "c")).toEqual({ place: "after", other: "b" });
    expect(neighbour(jobs.slice(0, 1), "a")).toBeNull();
  });
});
