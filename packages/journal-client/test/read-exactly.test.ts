import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BufferedReader,
  type CompressionCodec,
  isJournalError,
  JournalError,
  type ReadRequest,
  type ReadResponse,
  RetryReader,
  type Status,
} from "../src/index.js";
import { HastyClock, middling } from "./append-support.js";
import {
  content,
  FakeReads,
  FakeStore,
  fragment,
  journal,
  metadata,
  type Script,
  snappyFramed,
  zstdFrame,
} from "./read-support.js";

const LENGTH = 4000;
const BYTES = Buffer.from(Array.from({ length: LENGTH }, (_, at) => (at * 7 + (at >> 8) * 31) & 0xff));

/** What goes wrong with one RPC. Offsets and lengths are of what is served. */
type Fault =
  | { readonly kind: "cut" | "close"; readonly after: number; readonly grpcCode: number }
  | { readonly kind: "status"; readonly status: Status; readonly after: number }
  | { readonly kind: "backwards" }
  | { readonly kind: "url"; readonly file: FileFault; readonly codec: CompressionCodec }
  | { readonly kind: "silent" };
type FileFault =
  | "good"
  | "missing"
  | "short"
  | "long"
  | "empty"
  | "garbage"
  | "broken"
  | "wrong scheme"
  | "wrong codec";

const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("cut" as const, "close" as const),
    after: fc.nat(1500),
    grpcCode: fc.constantFrom(1, 2, 4, 8, 13, 14),
  }),
  fc.record({
    kind: fc.constant("status" as const),
    after: fc.nat(900),
    status: fc.constantFrom<Status>(
      "NOT_JOURNAL_BROKER",
      "INSUFFICIENT_JOURNAL_BROKERS",
      "WRONG_ROUTE",
      "NO_JOURNAL_PRIMARY_BROKER",
      "FRAGMENT_STORE_UNHEALTHY",
      "OFFSET_NOT_YET_AVAILABLE",
    ),
  }),
  fc.record({ kind: fc.constant("backwards" as const) }),
  fc.record({ kind: fc.constant("silent" as const) }),
  fc.record({
    kind: fc.constant("url" as const),
    file: fc.constantFrom<FileFault>(
      "good",
      "missing",
      "short",
      "long",
      "empty",
      "garbage",
      "broken",
      "wrong scheme",
      "wrong codec",
    ),
    codec: fc.constantFrom<CompressionCodec>(
      "NONE",
      "GZIP",
      "SNAPPY",
      "ZSTANDARD",
      "GZIP_OFFLOAD_DECOMPRESSION",
    ),
  }),
);

function fileOf(codec: CompressionCodec, bytes: Uint8Array): Uint8Array {
  switch (codec) {
    case "GZIP":
      return Buffer.concat([gzipSync(bytes.subarray(0, 100)), gzipSync(bytes.subarray(100))]);
    case "SNAPPY":
      return snappyFramed(bytes);
    case "ZSTANDARD":
      return zstdFrame([bytes.subarray(0, 50), bytes.subarray(50)]);
    default:
      return bytes;
  }
}

/** Serves `BYTES` but for `holes`, which are jumped over, in fragments and chunks of the given sizes. */
class FaultyJournal {
  readonly store = new FakeStore();
  #urls = 0;
  readonly #faults: Fault[];
  readonly #fragmentBytes: number;
  readonly #chunkBytes: number;
  readonly #holes: readonly (readonly [number, number])[];

  constructor(
    faults: readonly Fault[],
    fragmentBytes: number,
    chunkBytes: number,
    holes: readonly (readonly [number, number])[],
  ) {
    this.#faults = [...faults];
    this.#fragmentBytes = fragmentBytes;
    this.#chunkBytes = chunkBytes;
    this.#holes = holes;
  }

  script(): Script {
    const found = this.#faults.shift();
    const self = this;
    return async function* (request) {
      const begin = Number(request.offset ?? 0n);
      if (found?.kind === "silent") {
        return;
      }
      if (found?.kind === "backwards" && begin > 0) {
        yield content(BigInt(begin - 1), "no");
        return;
      }
      if (found?.kind === "url" && request.doNotProxy === true) {
        yield* self.#direct(begin, found);
        return;
      }
      const after = found !== undefined && "after" in found ? found.after : Number.POSITIVE_INFINITY;
      yield* self.#serve(request, begin, after);
      if (found?.kind === "cut") {
        throw new JournalError("transport", "cut", { grpcCode: found.grpcCode });
      }
      if (found?.kind === "status") {
        yield metadata(0n, { status: found.status, header: undefined, fragment: undefined, writeHead: 0n });
      }
    };
  }

  /** The first offset from here on that exists. */
  existing(offset: number): number {
    let at = offset;
    for (const [from, to] of this.#holes) {
      if (at >= from && at < to) at = to;
    }
    return at;
  }

  /** The fragment of an offset ends with a hole. */
  #fragmentAt(offset: number): { readonly begin: number; readonly end: number } {
    let begin = offset - (offset % this.#fragmentBytes);
    let end = Math.min(LENGTH, begin + this.#fragmentBytes);
    for (const [from, to] of this.#holes) {
      if (to <= offset) begin = Math.max(begin, to);
      if (from > offset) end = Math.min(end, from);
    }
    return { begin, end };
  }

  *#serve(request: ReadRequest, from: number, after: number): Generator<ReadResponse> {
    const endOffset = Number(request.endOffset ?? 0n) || LENGTH;
    let given = 0;
    let offset = from;
    while (true) {
      offset = this.existing(offset);
      if (offset >= LENGTH) return;
      const { begin, end } = this.#fragmentAt(offset);
      yield metadata(BigInt(offset), {
        fragment: fragment(BigInt(begin), BigInt(end)),
        writeHead: BigInt(LENGTH),
      });
      while (offset < end) {
        if (offset >= endOffset || given >= after) return;
        const length = Math.min(this.#chunkBytes, end - offset, endOffset - offset, after - given);
        yield content(BigInt(offset), BYTES.subarray(offset, offset + length));
        offset += length;
        given += length;
      }
      if (offset >= endOffset) return;
    }
  }

  *#direct(from: number, { file, codec }: Fault & { readonly kind: "url" }): Generator<ReadResponse> {
    const offset = this.existing(from);
    if (offset >= LENGTH) return;
    const { begin, end } = this.#fragmentAt(offset);
    const url = `${file === "wrong scheme" ? "gopher" : "https"}://store/${this.#urls++}`;
    const bytes = BYTES.subarray(begin, end);
    const good = fileOf(codec, bytes);
    // Other bytes of a file without compression are content like any.
    const plain = codec === "NONE" || codec === "GZIP_OFFLOAD_DECOMPRESSION";
    if (file === "good" || file === "wrong codec") this.store.put(url, good);
    if (file === "short") this.store.put(url, fileOf(codec, bytes.subarray(0, bytes.length >> 1)));
    if (file === "long") this.store.put(url, fileOf(codec, Buffer.concat([bytes, Buffer.from("and more")])));
    if (file === "empty") this.store.put(url, new Uint8Array(0));
    if (file === "garbage") this.store.put(url, plain ? new Uint8Array(0) : Buffer.from("garbage"));
    if (file === "broken") {
      this.store.put(url, () => ({
        body: (async function* () {
          yield good.subarray(0, good.length >> 1);
          throw new JournalError("fragment-fetch", "reset");
        })(),
      }));
    }
    yield metadata(BigInt(offset), {
      fragment: fragment(BigInt(begin), BigInt(end), {
        compressionCodec: file === "wrong codec" ? ("BROTLI" as CompressionCodec) : codec,
      }),
      writeHead: BigInt(LENGTH),
      fragmentUrl: url,
    });
  }
}

describe("a retrying reader, whatever goes wrong", () => {
  it("gives every byte once, in order, and leaves out only what it told as a jump", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fault, { maxLength: 25 }),
        fc.integer({ min: 50, max: 2000 }),
        fc.integer({ min: 1, max: 700 }),
        fc.uniqueArray(fc.integer({ min: 1, max: LENGTH - 1 }), { maxLength: 4 }),
        fc.boolean(),
        fc.boolean(),
        async (faults, fragmentBytes, chunkBytes, cuts, doNotProxy, asStream) => {
          const bounds = cuts.toSorted((a, b) => a - b);
          const holes: [number, number][] = [];
          for (let at = 0; at + 1 < bounds.length; at += 2) holes.push([bounds[at]!, bounds[at + 1]!]);
          const served = new FaultyJournal(faults, fragmentBytes, chunkBytes, holes);
          const client = new FakeReads(() => served.script(), {
            get: (url, options) =>
              url.startsWith("gopher")
                ? Promise.reject(new JournalError("url-refused", url))
                : served.store.get(url, options),
          });
          const jumps: [number, number][] = [];
          const onOffsetJump = (from: bigint, to: bigint) => void jumps.push([Number(from), Number(to)]);
          const reader = new RetryReader(
            client,
            { journal, block: true, doNotProxy, endOffset: BigInt(LENGTH) },
            { clock: new HastyClock(), random: middling, ...(asStream ? { onOffsetJump } : {}) },
          );
          const found: Uint8Array[] = [];
          if (asStream) {
            for await (const chunk of reader.asReadable()) found.push(chunk);
          } else {
            while (true) {
              try {
                const chunk = await reader.read();
                if (chunk === undefined) break;
                found.push(chunk);
              } catch (error) {
                if (!isJournalError(error, "offset-jump")) throw error;
                const { from, to } = error as JournalError & { from: bigint; to: bigint };
                onOffsetJump(from, to);
              }
            }
          }
          const expected = holes.reduceRight(
            (bytes, [from, to]) => Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]),
            BYTES,
          );
          expect(Buffer.concat(found).equals(expected)).toBe(true);
          expect(jumps).toEqual(holes);
          expect(reader.offset).toBe(BigInt(LENGTH));
          await reader.close();
          expect([client.open, served.store.open]).toEqual([0, 0]);
        },
      ),
      { numRuns: 150 },
    );
  }, 60_000);
});

describe("a buffered reader", () => {
  const source = (chunks: readonly (string | Error)[]) => {
    const rest = [...chunks];
    return {
      read: async () => {
        const next = rest.shift();
        if (next instanceof Error) throw next;
        return next === undefined ? undefined : Buffer.from(next);
      },
    };
  };
  const text = (bytes: Uint8Array | undefined) =>
    bytes === undefined ? undefined : Buffer.from(bytes).toString();

  it("gives the same lines and frames however the bytes are cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: fc.constantFrom("a", "b", "\n"), maxLength: 9 }), { maxLength: 200 }),
        fc.array(fc.oneof(fc.constant("line" as const), fc.nat(20)), { minLength: 1, maxLength: 60 }),
        async (chunks, takes) => {
          const whole = chunks.join("");
          const reader = new BufferedReader(source(chunks));
          let at = 0;
          for (const take of takes) {
            const end = take === "line" ? whole.indexOf("\n", at) + 1 : at + take;
            const got = take === "line" ? reader.readLine() : reader.readExactly(take);
            if (end > whole.length || (take === "line" && end === 0)) {
              if (at === whole.length) {
                expect(await got).toBeUndefined();
              } else {
                await expect(got).rejects.toMatchObject({ code: "unexpected-eof" });
              }
              break;
            }
            expect(text(await got)).toBe(whole.slice(at, end));
            at = end;
          }
          let rest = "";
          for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read())
            rest += text(chunk);
          expect(rest).toBe(whole.slice(at));
          expect(reader.buffered).toBe(0);
        },
      ),
    );
  });

  it("does not copy what lies within one chunk", async () => {
    const chunk = Buffer.from("one\ntwo\n");
    const reader = new BufferedReader({ read: async () => chunk });
    for (const take of [await reader.readLine(), await reader.readExactly(2), await reader.peek(2)]) {
      expect(take?.buffer).toBe(chunk.buffer);
    }
  });

  it("loses nothing to an error of its source, and reads on behind it", async () => {
    const error = new Error("jump");
    const reader = new BufferedReader(source(["ab", error, "c\n"]));
    await expect(reader.readLine()).rejects.toBe(error);
    expect(reader.buffered).toBe(2);
    expect(text(await reader.readLine())).toBe("abc\n");
    const other = new BufferedReader(source(["ab", error, "c\n"]));
    await expect(other.peek(3)).rejects.toBe(error);
    other.reset();
    expect(text(await other.readLine())).toBe("c\n");
  });

  it("refuses lines and frames that are too long, and counts that are none", async () => {
    await expect(
      new BufferedReader(source(["aaaa", "aaaa\n"]), { maxBytes: 5 }).readLine(),
    ).rejects.toMatchObject({
      code: "bad-message",
    });
    await expect(new BufferedReader(source(["aaaa\n"])).readLine({ maxBytes: 4 })).rejects.toMatchObject({
      code: "bad-message",
    });
    expect(text(await new BufferedReader(source(["aaaa\n"])).readLine({ maxBytes: 5 }))).toBe("aaaa\n");
    const reader = new BufferedReader(source(["abc"]), { maxBytes: 5 });
    for (const count of [-1, 0.5, 6, Number.NaN]) {
      await expect(reader.peek(count)).rejects.toMatchObject({ code: "invalid-argument" });
      await expect(reader.readExactly(count)).rejects.toMatchObject({ code: "invalid-argument" });
    }
    expect(() => reader.discard(1)).toThrow(/0 that are buffered/);
    expect(text(await reader.peek(5))).toBe("abc");
    reader.discard(3);
    expect(await reader.readExactly(0)).toHaveLength(0);
    expect(await reader.readExactly(1)).toBeUndefined();
  });
});
