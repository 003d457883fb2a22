import { describe, expect, it } from "vitest";
import { type Ref, refOf, refToBytes } from "../src/ref.js";
import { refsOfPages } from "../src/refs-of-pages.js";

const refs: readonly Ref[] = Array.from({ length: 7 }, (_, i) => refOf(Uint8Array.of(i)));

/** Pages of 3 refs; `closed` counts how often somebody has left. */
function source(fails?: unknown): { pages: AsyncGenerator<Uint8Array>; closed: () => number } {
  let closed = 0;
  async function* pages(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < refs.length; at += 3) {
        yield Buffer.concat(refs.slice(at, at + 3).map((ref) => refToBytes(ref)));
      }
      if (fails !== undefined) throw fails;
    } finally {
      closed++;
    }
  }
  return { pages: pages(), closed: () => closed };
}

async function all(iterable: AsyncIterable<Ref>): Promise<Ref[]> {
  const listed: Ref[] = [];
  for await (const ref of iterable) listed.push(ref);
  return listed;
}

describe("the refs of pages", () => {
  it("are those of all pages, in their order, and then none any more", async () => {
    const { pages, closed } = source();
    const listing = refsOfPages(pages);
    expect(await all(listing)).toEqual(refs);
    expect(closed()).toBe(1);
    expect(await listing.next()).toEqual({ done: true, value: undefined });
  });

  it("come in order, each once, to whoever does not wait for one before asking for the next", async () => {
    const listing = refsOfPages(source().pages);
    const asked = Array.from({ length: refs.length + 2 }, () => listing.next());
    const answers = await Promise.all(asked);
    expect(answers.slice(0, refs.length).map(({ value }) => value)).toEqual(refs);
    expect(answers.slice(refs.length)).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
  });

  it("end for whoever leaves, in the middle of a page as well, and the source is left, too", async () => {
    const { pages, closed } = source();
    const listing = refsOfPages(pages);
    for await (const ref of listing) {
      expect(ref).toBe(refs[0]);
      break;
    }
    expect(closed()).toBe(1);
    expect(await listing.next()).toEqual({ done: true, value: undefined });
  });

  it("do not begin when nobody asks", async () => {
    let begun = false;
    const listing = refsOfPages({
      [Symbol.asyncIterator]() {
        begun = true;
        return source().pages;
      },
    });
    await listing.return?.();
    expect(await all(listing)).toEqual([]);
    expect(begun).toBe(false);
  });

  it("fail once with what the source fails with, after what it gave", async () => {
    const failure = new Error("the disk is gone");
    const listing = refsOfPages(source(failure).pages);
    for (const ref of refs) expect(await listing.next()).toEqual({ done: false, value: ref });
    await expect(listing.next()).rejects.toBe(failure);
    expect(await listing.next()).toEqual({ done: true, value: undefined });
  });

  it("end with the reason of the signal, also in the middle of a page, and the source is left", async () => {
    const { pages, closed } = source();
    const stop = new AbortController();
    const listing = refsOfPages(pages, stop.signal);
    await listing.next();
    const reason = new Error("enough");
    stop.abort(reason);
    await expect(listing.next()).rejects.toBe(reason);
    expect(closed()).toBe(1);
    expect(await listing.next()).toEqual({ done: true, value: undefined });
  });
});
