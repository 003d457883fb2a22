import { describe, expect, it } from "vitest";
import { call } from "../src/index.js";
import { settled } from "./support/fake-clock.js";
import { drain, server, steady } from "./support/servers.js";

const one = [server("a")];

/** An iterator that is driven by hand, and notes what is asked of it. */
class Source implements AsyncIterable<number>, AsyncIterator<number> {
  pulls = 0;
  closes = 0;
  #give: ((result: IteratorResult<number>) => void) | undefined;
  #fail: ((error: unknown) => void) | undefined;

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<number>> {
    this.pulls++;
    return new Promise((resolve, reject) => {
      this.#give = resolve;
      this.#fail = reject;
    });
  }

  return(): Promise<IteratorResult<number>> {
    this.closes++;
    return Promise.resolve({ done: true, value: undefined });
  }

  async give(value: number): Promise<void> {
    this.#give?.({ done: false, value });
    await settled();
  }

  async fail(error: unknown): Promise<void> {
    this.#fail?.(error);
    await settled();
  }
}

describe("a stream of results", () => {
  it("is pulled again when half of a full buffer has been read, and not before", async () => {
    const source = new Source();
    const started = call([1], one, () => source, { ...steady(), maxBufferedChunks: 6 });
    const first = started.next();
    await settled();
    for (let value = 0; value <= 6; value++) await source.give(value);
    await first;
    // One was read and six wait.
    expect(source.pulls).toBe(7);
    for (const left of [5, 4]) {
      await started.next();
      await settled();
      expect([left, source.pulls]).toEqual([left, 7]);
    }
    await started.next();
    await settled();
    expect(source.pulls).toBe(8);
    await started.return();
  });

  it("that waits for its reader is closed when the call is aborted, and its rpc has returned then", async () => {
    const source = new Source();
    const controller = new AbortController();
    const started = call([1], one, () => source, {
      ...steady(),
      maxBufferedChunks: 1,
      signal: controller.signal,
    });
    const first = started.next();
    await settled();
    await source.give(1);
    await source.give(2);
    await first;
    expect(source.pulls).toBe(2);
    controller.abort("enough");
    await expect(started.next()).rejects.toBe("enough");
    // Would not come if the stream still waited for somebody to read.
    await started.settled;
    expect(source).toMatchObject({ pulls: 2, closes: 1 });
  });

  it("that was pulled when the call ended is not pulled again, and what it gives then goes nowhere", async () => {
    const source = new Source();
    const started = call([1], one, () => source, steady());
    const first = started.next();
    await settled();
    await source.give(1);
    expect((await first).value?.result).toBe(1);
    expect(source.pulls).toBe(2);
    await started.return();
    // The answer to the second pull was under way.
    await source.give(2);
    await started.settled;
    expect(source).toMatchObject({ pulls: 2, closes: 1 });
    expect(await started.next()).toEqual({ done: true, value: undefined });
  });

  it("that was pulled when the call ended may give nonsense: nobody looks at it", async () => {
    const looked: string[] = [];
    const hostile = new Proxy(
      {},
      {
        has: (_, key) => {
          looked.push(String(key));
          return true;
        },
        get: (_, key) => {
          // Promises look for it, whoever made them.
          if (key !== "then") looked.push(String(key));
          return undefined;
        },
      },
    );
    let give: (result: IteratorResult<number>) => void = () => {};
    const iterator = {
      next: () =>
        new Promise<IteratorResult<number>>((resolve) => {
          give = resolve;
        }),
    };
    const started = call([1], one, () => ({ [Symbol.asyncIterator]: () => iterator }), steady());
    const first = started.next();
    await settled();
    await started.return();
    await first;
    give(hostile as IteratorResult<number>);
    await started.settled;
    expect(looked).toEqual([]);
  });

  it("is not closed when it has thrown itself: it is over already", async () => {
    const source = new Source();
    const ended = drain(call([1], one, () => source, { ...steady(), retry: { maxAttempts: 1 } }));
    await settled();
    await source.fail(new Error("broken"));
    expect((await ended).error).toMatchObject({ code: "failed" });
    expect(source).toMatchObject({ pulls: 1, closes: 0 });
  });
});
