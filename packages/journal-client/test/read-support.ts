import { readFileSync } from "node:fs";
import { crc32c } from "@node-rs/crc32";
import { compressSync } from "snappy";
import { expect } from "vitest";
import {
  type AppendStream,
  type CallOptions,
  type DispatchRouter,
  type Fragment,
  type FragmentFile,
  type FragmentTransport,
  type Header,
  JournalError,
  type ReadRequest,
  type ReadResponse,
  type Route,
  type RoutedJournalClient,
} from "../src/index.js";
import { ROUTE } from "./append-support.js";

export const journal = "a/journal";

export const HEADER: Header = {
  processId: { zone: "a", suffix: "broker" },
  route: ROUTE,
  etcd: { clusterId: 12n, memberId: 34n, revision: 56n, raftTerm: 78n },
};

export function fragment(begin: bigint, end: bigint, more: Partial<Fragment> = {}): Fragment {
  return {
    journal,
    begin,
    end,
    sum: new Uint8Array(20),
    compressionCodec: "NONE",
    backingStore: "",
    modTime: 0n,
    pathPostfix: "",
    ...more,
  };
}

export function metadata(offset: bigint, more: Partial<ReadResponse> = {}): ReadResponse {
  return {
    status: "OK",
    header: HEADER,
    offset,
    writeHead: 1024n,
    fragment: fragment(0n, 1024n),
    fragmentUrl: "",
    content: undefined,
    ...more,
  };
}

export function content(offset: bigint, bytes: string | Uint8Array): ReadResponse {
  return {
    status: "OK",
    header: undefined,
    offset,
    writeHead: 0n,
    fragment: undefined,
    fragmentUrl: "",
    content: typeof bytes === "string" ? Buffer.from(bytes) : bytes,
  };
}

/** What one Read RPC does. It ends well unless it throws. */
export type Script = (request: ReadRequest, signal: AbortSignal) => AsyncGenerator<ReadResponse, void, void>;

export interface Fixture {
  readonly status?: ReadResponse["status"];
  readonly error?: unknown;
  readonly content?: string;
  readonly offset?: bigint;
  readonly fragment?: Fragment;
  readonly fragmentUrl?: string;
}

/** Metadata, then content in two chunks, then a status or an error: as brokers do. */
export function fixture(f: Fixture): Script {
  return async function* (request) {
    const offset = f.offset ?? (request.offset === -1n ? 0n : (request.offset ?? 0n));
    const { status = "OK", content: text = "" } = f;
    yield metadata(offset, {
      ...(text === "" ? { status } : {}),
      ...(f.fragment === undefined ? {} : { fragment: f.fragment }),
      ...(f.fragmentUrl === undefined ? {} : { fragmentUrl: f.fragmentUrl }),
    });
    if (text !== "") {
      const half = Math.floor(text.length / 2);
      yield content(offset, text.slice(0, half));
      yield content(offset + BigInt(half), text.slice(half));
      if (status !== "OK") {
        yield metadata(0n, { status, header: undefined, fragment: undefined, writeHead: 0n });
      }
    }
    if (f.error !== undefined) {
      throw f.error;
    }
  };
}

/** Says nothing until it is cancelled. */
export const hanging: Script = async function* (_request, signal) {
  yield* [];
  await aborted(signal);
};

export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Reads by scripts, one for each RPC; an RPC without a script fails the test that made it. */
export class FakeReads implements RoutedJournalClient {
  readonly requests: ReadRequest[] = [];
  readonly routesAsked: (Route | undefined)[] = [];
  readonly routes: (Route | undefined)[] = [];
  /** RPCs that have begun and not ended. */
  open = 0;
  readonly isNoopRouter = false;
  readonly fragments: FragmentTransport;
  readonly #next: (rpc: number) => Script | undefined;

  constructor(
    scripts: readonly Script[] | ((rpc: number) => Script),
    fragments: FragmentTransport = nowhere,
  ) {
    this.#next = typeof scripts === "function" ? scripts : (rpc) => scripts[rpc];
    this.fragments = fragments;
  }

  /** As that of a real client: `return` ends a `next` that waits, well, also when the signal was aborted just before. */
  openRead(
    request: ReadRequest,
    { signal, route }: CallOptions & { readonly route?: Route } = {},
  ): AsyncIterableIterator<ReadResponse, undefined> {
    const left = new AbortController();
    const responses = this.#play(
      request,
      signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]),
      route,
    );
    const over = { done: true, value: undefined } as const;
    return {
      next: async () => {
        try {
          const { done, value } = await responses.next();
          return done === true || left.signal.aborted ? over : { done: false, value };
        } catch (error) {
          if (left.signal.aborted) return over;
          throw error;
        }
      },
      return: async () => {
        left.abort();
        await responses.return();
        return over;
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async *#play(
    request: ReadRequest,
    signal: AbortSignal,
    route: Route | undefined,
  ): AsyncGenerator<ReadResponse, void, void> {
    signal.throwIfAborted();
    const script = this.#next(this.requests.length);
    this.requests.push(request);
    this.routesAsked.push(route);
    if (script === undefined) {
      throw new JournalError("invalid-argument", `RPC ${this.requests.length} was not expected`);
    }
    this.open++;
    try {
      for await (const response of script(request, signal)) {
        signal.throwIfAborted();
        yield response;
      }
    } finally {
      this.open--;
    }
  }

  route(): Route {
    return ROUTE;
  }

  updateRoute(...[, route]: Parameters<DispatchRouter["updateRoute"]>): void {
    this.routes.push(route);
  }

  openAppend(): AppendStream {
    throw new Error("not of these tests");
  }

  async *openList(): AsyncGenerator<never> {
    yield* [];
    throw new Error("not of these tests");
  }

  apply(): Promise<never> {
    throw new Error("not of these tests");
  }

  listFragments(): Promise<never> {
    throw new Error("not of these tests");
  }

  fragmentStoreHealth(): Promise<never> {
    throw new Error("not of these tests");
  }
}

const nowhere: FragmentTransport = {
  async get(url) {
    throw new JournalError("url-refused", `${url} is not allowed in this test`);
  },
};

export interface FakeFile {
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
  readonly contentEncoding?: string;
}

/** A store whose files give themselves away: how many are open, and with which headers they were asked for. */
export class FakeStore implements FragmentTransport {
  open = 0;
  readonly gets: { readonly url: string; readonly headers: Readonly<Record<string, string>> }[] = [];
  readonly files = new Map<string, FakeFile | (() => FakeFile)>();

  put(url: string, file: Uint8Array | FakeFile | (() => FakeFile)): string {
    this.files.set(url, file instanceof Uint8Array ? { body: file } : file);
    return url;
  }

  async get(url: string, options: Parameters<FragmentTransport["get"]>[1]): Promise<FragmentFile> {
    this.gets.push({ url, headers: options.headers ?? {} });
    const found = this.files.get(url);
    if (found === undefined) {
      throw new JournalError("fragment-not-found", `no ${url}`);
    }
    const { body, contentEncoding = "" } = typeof found === "function" ? found() : found;
    return { body: this.#opened(body instanceof Uint8Array ? pieces(body, 7) : body), contentEncoding };
  }

  async *#opened(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    this.open++;
    try {
      yield* body;
    } finally {
      this.open--;
    }
  }
}

export async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.length; at += size) {
    yield bytes.subarray(at, at + size);
  }
}

export async function all(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const found: Uint8Array[] = [];
  for await (const chunk of chunks) {
    found.push(chunk);
  }
  return Buffer.concat(found);
}

/** What is read until an end or an error, and that error. */
export async function readUntilEnd(source: {
  read(): Promise<Uint8Array | undefined>;
}): Promise<{ text: string; error: unknown }> {
  let text = "";
  try {
    for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) {
      text += Buffer.from(chunk).toString("latin1");
    }
    return { text, error: undefined };
  } catch (error) {
    return { text, error };
  }
}

export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail("it did not reject"),
    (error: unknown) => error,
  );
}

/** Snappy's framing format, in blocks of 64 KiB. Every third block is stored as it is. */
export function snappyFramed(bytes: Uint8Array): Buffer {
  const parts: Uint8Array[] = [Buffer.from([0xff, 6, 0, 0]), Buffer.from("sNaPpY")];
  for (let at = 0, block = 0; at < bytes.length; at += 65_536, block++) {
    const plain = bytes.subarray(at, at + 65_536);
    const stored = block % 3 === 2;
    const data = stored ? plain : compressSync(plain);
    const crc = crc32c(plain);
    const header = Buffer.alloc(8);
    header.writeUInt8(stored ? 1 : 0, 0);
    header.writeUIntLE(data.length + 4, 1, 3);
    header.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0, 4);
    parts.push(header, data);
  }
  return Buffer.concat(parts);
}

/** A Zstandard frame without checksum, of blocks that are stored, or one byte again and again. */
export function zstdFrame(
  blocks: readonly (Uint8Array | { readonly byte: number; readonly count: number })[],
): Buffer {
  // A window of 1 MiB.
  const parts: Uint8Array[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50])];
  blocks.forEach((block, index) => {
    const last = index === blocks.length - 1 ? 1 : 0;
    const header = Buffer.alloc(3);
    if (block instanceof Uint8Array) {
      header.writeUIntLE((block.length << 3) | last, 0, 3);
      parts.push(header, block);
    } else {
      header.writeUIntLE(((block.count << 3) | (1 << 1) | last) >>> 0, 0, 3);
      parts.push(header, Buffer.from([block.byte]));
    }
  });
  return Buffer.concat(parts);
}

/**
 * 12,000 lines, and what Gazette's codecs (golang/snappy 1.0.0, klauspost/compress 1.18.0, DataDog/zstd 1.5.7) made of them: gzip of two
 * members, snappy framed, zstd of two frames.
 */
export const LINES: Buffer = Buffer.from(
  Array.from({ length: 12_000 }, (_, line) => `line ${line} of ${line % 7}\n`).join(""),
);

export function linesFile(extension: "gz" | "sz" | "zst"): Buffer {
  return readFileSync(new URL(`./fixtures/lines.${extension}`, import.meta.url));
}
