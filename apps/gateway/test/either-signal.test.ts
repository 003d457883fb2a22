import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { eitherSignal } from "../src/http/either-signal.js";

describe("a signal of two", () => {
  it.each([0, 1])("aborts with the reason of number %i", (number) => {
    const both = [new AbortController(), new AbortController()] as const;
    const { signal } = eitherSignal(both[0].signal, both[1].signal);
    expect(signal.aborted).toBe(false);
    const reason = new Error("gone");
    both[number]?.abort(reason);
    both[1 - number]?.abort(new Error("later"));
    expect(signal.reason).toBe(reason);
  });

  it("is aborted at once when one was before", () => {
    const reason = new Error("gone");
    expect(eitherSignal(new AbortController().signal, AbortSignal.abort(reason)).signal.reason).toBe(reason);
  });

  it("leaves nothing behind in either once it is released", () => {
    const both = [new AbortController(), new AbortController()] as const;
    const { signal, release } = eitherSignal(both[0].signal, both[1].signal);
    release();
    for (const { signal } of both) expect(getEventListeners(signal, "abort")).toEqual([]);
    both[1].abort();
    expect(signal.aborted).toBe(false);
  });
});
