import { describe, expect, it } from "vitest";
import { iterate } from "../../src/locators/iteration.js";
import { Latest } from "../../src/locators/latest.js";
import { errorOf, settled } from "./support.js";

const never = new AbortController().signal;

function iterator<T>(values: AsyncIterable<T>): AsyncIterator<T, undefined> {
  return values[Symbol.asyncIterator]();
}

describe("the latest value", () => {
  it("is told to a reader that comes later, and to any number of them", async () => {
    const latest = new Latest<string>();
    latest.set("a");
    const readers = [1, 2, 3].map(() => iterator(latest.read({ signal: never })));
    for (const reader of readers) expect(await reader.next()).toEqual({ done: false, value: "a" });
    const waiting = readers.map((reader) => reader.next());
    latest.set("b");
    for (const next of waiting) expect((await next).value).toBe("b");
  });

  it("is waited for when there is none yet", async () => {
    const latest = new Latest<number | undefined>();
    const next = iterator(latest.read({ signal: never })).next();
    await settled();
    latest.set(undefined);
    expect(await next).toEqual({ done: false, value: undefined });
    expect(latest.version).toBe(1);
  });

  it("is all that a slow reader is told, whatever was in between", async () => {
    const latest = new Latest<number>();
    const reader = iterator(latest.read({ signal: never }));
    latest.set(0);
    await reader.next();
    for (let value = 1; value <= 1000; value++) latest.set(value);
    expect((await reader.next()).value).toBe(1000);
    const nothingMore = reader.next();
    const outcome = await Promise.race([nothingMore, settled().then(() => "waits")]);
    expect(outcome).toBe("waits");
    await reader.return?.();
  });

  it("is still told after the end, then the loop ends", async () => {
    const latest = new Latest<string>();
    const reader = iterator(latest.read({ signal: never }));
    latest.set("last");
    latest.end();
    latest.set("too late");
    expect((await reader.next()).value).toBe("last");
    expect(await reader.next()).toEqual({ done: true, value: undefined });
  });

  it("is still told before a failure, which every reader gets, be it undefined", async () => {
    for (const error of [new Error("broken"), undefined]) {
      const latest = new Latest<string>();
      latest.set("last");
      latest.fail(error);
      for (let reader = 0; reader < 2; reader++) {
        const told: string[] = [];
        const reading = (async () => {
          for await (const value of latest.read({ signal: never })) told.push(value);
        })();
        expect(await errorOf(reading)).toBe(error);
        expect(told).toEqual(["last"]);
      }
    }
  });

  it("wakes a reader that waits when its signal is aborted, and its loop ends without an error", async () => {
    const latest = new Latest<string>();
    const controller = new AbortController();
    const next = iterator(latest.read({ signal: controller.signal })).next();
    await settled();
    controller.abort(new Error("enough"));
    expect(await next).toEqual({ done: true, value: undefined });
  });
});

describe("an iteration", () => {
  it("is ended by `return` while a `next` waits, after its cleaning up", async () => {
    const seen: string[] = [];
    const waiting = iterator(
      iterate(never, async function* (signal) {
        try {
          yield 1;
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          await settled();
          throw signal.reason;
        } finally {
          seen.push("cleaned up");
        }
      }),
    );
    await waiting.next();
    const next = waiting.next();
    await waiting.return?.();
    expect(seen).toEqual(["cleaned up"]);
    expect(await next).toEqual({ done: true, value: undefined });
    expect(await waiting.next()).toEqual({ done: true, value: undefined });
  });

  it("cleans up when the signal is aborted between two calls of `next`", async () => {
    let cleaned = false;
    const controller = new AbortController();
    const values = iterator(
      iterate(controller.signal, async function* () {
        try {
          yield 1;
          yield 2;
        } finally {
          cleaned = true;
        }
      }),
    );
    await values.next();
    controller.abort(new Error("enough"));
    await settled();
    expect(cleaned).toBe(true);
    expect(await values.next()).toEqual({ done: true, value: undefined });
  });

  it("does nothing at all when the signal was aborted before", async () => {
    let started = false;
    const values = iterate(AbortSignal.abort(new Error("enough")), async function* () {
      started = true;
      yield 1;
    });
    expect(await iterator(values).next()).toEqual({ done: true, value: undefined });
    expect(started).toBe(false);
  });

  it("throws what went wrong, once", async () => {
    const values = iterator(
      // biome-ignore lint/correctness/useYield: it fails before.
      iterate(never, async function* (): AsyncGenerator<number, void, undefined> {
        throw new Error("broken");
      }),
    );
    expect(await errorOf(values.next())).toEqual(new Error("broken"));
    expect(await values.next()).toEqual({ done: true, value: undefined });
  });

  it("can be made again and again from one iterable", async () => {
    const values = iterate(never, async function* () {
      yield* [1, 2, 3];
    });
    for (let round = 0; round < 2; round++) {
      const got: number[] = [];
      for await (const value of values) got.push(value);
      expect(got).toEqual([1, 2, 3]);
    }
  });
});
