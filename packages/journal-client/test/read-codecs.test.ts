import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { isJournalError, type JournalErrorCode, RetryReader } from "../src/index.js";
import { decoderOf } from "../src/read/codecs.js";
import type { Decoder } from "../src/read/decoder.js";
import { optionalPeer } from "../src/read/optional-peer.js";
import { unzstdByWasm } from "../src/read/zstd.js";
import { HastyClock, middling } from "./append-support.js";
import {
  all,
  FakeReads,
  FakeStore,
  fixture,
  fragment,
  journal,
  LINES,
  linesFile,
  pieces,
  readUntilEnd,
  rejection,
  snappyFramed,
  zstdFrame,
} from "./read-support.js";

const gzip = decoderOf("GZIP");
const snappy = decoderOf("SNAPPY");
const zstd = decoderOf("ZSTANDARD");

async function codeOf(
  decoder: Decoder,
  file: Uint8Array,
  size = 1000,
): Promise<JournalErrorCode | undefined> {
  const error = await rejection(all(decoder(pieces(file, size))));
  return isJournalError(error) ? error.code : undefined;
}

describe.each([
  ["GZIP", gzip, "gz"],
  ["SNAPPY", snappy, "sz"],
  ["ZSTANDARD", zstd, "zst"],
  ["ZSTANDARD in WebAssembly", unzstdByWasm, "zst"],
] as const)("a %s file that Gazette's own codec wrote", (_name, decoder, extension) => {
  const file = linesFile(extension);

  it.each([file.length, 70_001, 1000, 3])("gives its content, in pieces of %i bytes", async (size) => {
    expect((await all(decoder(pieces(file, size)))).equals(LINES)).toBe(true);
  });

  it("is too short wherever it is cut, or gives whole content before its cut", async () => {
    for (const length of [1, 3, 9, 11, 100, 17_000, file.length - 5, file.length - 1]) {
      expect.soft(await codeOf(decoder, file.subarray(0, length)), `${length}`).toBe("unexpected-eof");
    }
  });

  it("is corrupt when anything stands behind it", async () => {
    for (const behind of [Buffer.alloc(1), Buffer.alloc(5000), Buffer.from("something else")]) {
      expect.soft(await codeOf(decoder, Buffer.concat([file, behind]), file.length + 5000)).toMatch(BAD);
      expect.soft(await codeOf(decoder, Buffer.concat([file, behind]), file.length)).toMatch(BAD);
    }
  });

  it("is corrupt when its first bytes are others", async () => {
    expect(await codeOf(decoder, Buffer.concat([Buffer.from("XXXX"), file.subarray(4)]))).toBe(
      "fragment-corrupt",
    );
  });

  it("gives up its source when it is left in the middle, and when it was not begun", async () => {
    let left = 0;
    const source = {
      async *[Symbol.asyncIterator]() {
        try {
          yield* pieces(file, 1000);
        } finally {
          left++;
        }
      },
    };
    for await (const chunk of decoder(source)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(left).toBe(1);
    await decoder(source)[Symbol.asyncIterator]().return?.();
    expect(left).toBe(1);
  });

  it("lets an error of its source out as it is", async () => {
    const broken = new Error("the store is gone");
    const source = async function* () {
      yield file.subarray(0, 500);
      throw broken;
    };
    expect(await rejection(all(decoder(source())))).toBe(broken);
  });
});

/** One byte that no codec begins with may also look like the beginning of something that was cut. */
const BAD = /^(fragment-corrupt|unexpected-eof)$/;

describe("GZIP", () => {
  it("notices content that does not fit its checksum", async () => {
    const file = gzipSync(LINES);
    file[file.length - 8]! ^= 1;
    expect(await codeOf(gzip, file)).toBe("fragment-corrupt");
  });

  it("gives any content of any members, however the file is cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 5000 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 3000 }),
        async (members, size) => {
          const file = Buffer.concat(members.map((member) => gzipSync(member)));
          expect((await all(gzip(pieces(file, size)))).equals(Buffer.concat(members))).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("SNAPPY", () => {
  it("gives any content, of blocks that are compressed or stored, however the file is cut", async () => {
    const content = Buffer.concat([LINES, LINES, LINES]);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: content.length }),
        fc.integer({ min: 100, max: 200_000 }),
        async (length, size) => {
          const part = content.subarray(0, length);
          expect((await all(snappy(pieces(snappyFramed(part), size)))).equals(part)).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("gives out no byte of a block in which any bit is another", async () => {
    const content = LINES.subarray(0, 65_536 * 2 + 1000);
    const good = snappyFramed(content);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: good.length * 8 - 1 }), async (bit) => {
        const file = Buffer.from(good);
        file[bit >>> 3]! ^= 1 << (bit & 7);
        const given: Uint8Array[] = [];
        let failed: unknown;
        try {
          for await (const chunk of snappy(pieces(file, 10_000))) {
            given.push(chunk);
          }
        } catch (error) {
          failed = error;
        }
        const got = Buffer.concat(given);
        // A block's type that turned into one that may be skipped takes the block away; nothing else goes unnoticed.
        const skipped = (bit & 7) === 7 && got.length < content.length;
        expect(
          skipped || isJournalError(failed, "fragment-corrupt") || isJournalError(failed, "unexpected-eof"),
        ).toBe(true);
        if (!skipped) {
          expect(got.equals(content.subarray(0, got.length))).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("skips padding, and more stream identifiers, and refuses chunks that it must understand", async () => {
    const file = snappyFramed(LINES);
    const padding = Buffer.concat([Buffer.from([0xfe, 0x10, 0x27, 0]), Buffer.alloc(10_000)]);
    expect((await all(snappy(pieces(Buffer.concat([file, padding, file]), 999)))).length).toBe(
      LINES.length * 2,
    );
    expect(await codeOf(snappy, Buffer.concat([file, Buffer.from([0x02, 1, 0, 0, 0])]))).toBe(
      "fragment-corrupt",
    );
  });

  it("refuses a block that says it is huge, before it takes memory for it", async () => {
    const huge = Buffer.from([
      0xff,
      6,
      0,
      0,
      ...Buffer.from("sNaPpY"),
      0,
      9,
      0,
      0,
      0,
      0,
      0,
      0,
      0xff,
      0xff,
      0xff,
      0xff,
      0x0f,
    ]);
    expect(await codeOf(snappy, huge)).toBe("fragment-corrupt");
  });
});

describe.each([
  ["here", zstd],
  ["in WebAssembly", unzstdByWasm],
] as const)("ZSTANDARD %s", (_name, decoder) => {
  it("gives frames of every kind of block, and leaves out frames that may be skipped", async () => {
    const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.alloc(5)]);
    const file = Buffer.concat([
      zstdFrame([Buffer.from("hello, "), { byte: 0x77, count: 3 }, Buffer.from("orld")]),
      skippable,
      zstdFrame([new Uint8Array(0)]),
      zstdFrame([Buffer.from("!")]),
    ]);
    expect((await all(decoder(pieces(file, 2)))).toString()).toBe("hello, wwworld!");
  });

  it("refuses a window that takes more than 128 MiB of memory", async () => {
    const file = zstdFrame([Buffer.from("x")]);
    file[5] = 18 << 3;
    expect(await codeOf(decoder, file)).toBe("fragment-corrupt");
  });

  it("ends with an error, not in a loop, when a block is corrupt", async () => {
    const file = linesFile("zst");
    // Where every version of zstd notices it: Gazette's frames have no checksum, and not all corrupt content is no content.
    for (const at of [20, 5000]) {
      const bad = Buffer.from(file);
      bad.fill(0xff, at, at + 30);
      expect(await codeOf(decoder, bad)).toMatch(BAD);
    }
  });
});

describe("a small file with huge content", () => {
  it.each([
    ["GZIP", gzip, () => gzipSync(Buffer.alloc(256 * 1024 * 1024))],
    [
      "ZSTANDARD",
      zstd,
      () => zstdFrame(Array.from({ length: 8192 }, () => ({ byte: 0, count: 128 * 1024 }))),
    ],
  ] as const)("is expanded only as far as it is read: %s", async (_name, decoder, make) => {
    const file = make();
    global.gc?.();
    const before = process.memoryUsage().rss;
    let taken = 0;
    let most = 0;
    for await (const chunk of decoder(pieces(file, 64 * 1024))) {
      taken += chunk.length;
      most = Math.max(most, chunk.length);
      if (taken >= 4 * 1024 * 1024) {
        break;
      }
    }
    expect(most).toBeLessThanOrEqual(1024 * 1024);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
  });
});

describe("a codec that cannot be decompressed here", () => {
  afterEach(() => {
    vi.doUnmock("zstddec/stream");
    vi.resetModules();
  });

  it("is named when it is not known", () => {
    expect(() => decoderOf("BROTLI" as "GZIP")).toThrow(
      expect.objectContaining({ code: "unsupported-codec", message: expect.stringContaining('"BROTLI"') }),
    );
  });

  it("is told with the package that is missing", async () => {
    vi.resetModules();
    vi.doMock("zstddec/stream", () => {
      throw new Error("Cannot find package");
    });
    const fresh = await import("../src/read/zstd.js");
    // The classes of modules that were loaded again are others: so the code is looked at, and not the class.
    expect(await rejection(all(fresh.unzstdByWasm(pieces(linesFile("zst"), 1000))))).toMatchObject({
      code: "unsupported-codec",
      message: expect.stringMatching(/ZSTANDARD.*"zstddec".*npm install zstddec/),
      cause: expect.any(Error),
    });
  });

  it("is read by the broker when its package is missing", async () => {
    const missing = (): Promise<never> =>
      optionalPeer("SNAPPY", "snappy", () => Promise.reject(new Error("Cannot find package")));
    const store = new FakeStore();
    const url = store.put("https://store/f", () => ({
      body: (async function* () {
        yield await missing();
      })(),
    }));
    const whole = fragment(0n, 5n, { backingStore: "s3://store/", modTime: 1n });
    const client = new FakeReads(
      [fixture({ fragment: whole, fragmentUrl: url }), fixture({ content: "hello" })],
      store,
    );
    const clock = new HastyClock();
    const request = { journal, endOffset: 5n, doNotProxy: true };
    const reader = new RetryReader(client, request, { clock, random: middling });
    expect(await readUntilEnd(reader)).toEqual({ text: "hello", error: undefined });
    expect(client.requests.map(({ doNotProxy }) => doNotProxy)).toEqual([true, false]);
    expect(clock.now).toBe(0);
  });

  it("is one in WebAssembly whose memory too many corrupt files have taken, and not sooner", async () => {
    vi.resetModules();
    const fresh = await import("../src/read/zstd.js");
    const good = linesFile("zst");
    const bad = Buffer.from(good);
    bad.fill(0xff, 5000, 5030);
    for (let count = 0; count < 16; count++) {
      expect((await all(fresh.unzstdByWasm(pieces(good, 100_000)))).length).toBe(LINES.length);
      const error = await rejection(all(fresh.unzstdByWasm(pieces(bad, 100_000))));
      expect(error).toMatchObject({ code: "fragment-corrupt" });
    }
    expect(await rejection(all(fresh.unzstdByWasm(pieces(good, 100_000))))).toMatchObject({
      code: "unsupported-codec",
      cause: expect.objectContaining({ message: expect.stringContaining("16 corrupt fragments") }),
    });
  });
});
