import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  FragmentReader,
  fileTransport,
  fragmentName,
  fragmentTransports,
  openFragmentUrl,
} from "../src/index.js";
import { unzstdByWasm } from "../src/read/zstd.js";
import {
  FRAGMENT_FILES,
  fragmentAppends,
  fragmentFileNames,
  fragmentOfFile,
  WRITTEN_CODECS,
} from "./fragment-files.js";
import { all, pieces } from "./read-support.js";
import { StubHttpStore } from "./support/stub-http-store.js";

const CONTENT = Buffer.concat(fragmentAppends());

async function byRead(reader: FragmentReader): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Into one memory again and again, which is no copy of anything that was there before. */
function byReadInto(bytes: number): (reader: FragmentReader) => Promise<Buffer> {
  return async (reader) => {
    const target = Buffer.alloc(bytes);
    const chunks: Buffer[] = [];
    for (;;) {
      const count = await reader.readInto(target);
      if (count === 0) return Buffer.concat(chunks);
      chunks.push(Buffer.from(target.subarray(0, count)));
      target.fill(0);
    }
  };
}

const ways: Record<string, (reader: FragmentReader) => Promise<Buffer>> = {
  read: byRead,
  "readInto of 777 bytes": byReadInto(777),
  "readInto of 64 KiB": byReadInto(65_536),
  "readInto of 1 MiB": byReadInto(1_048_576),
};

/** By what is different: buffers of this length are not printed. */
function expectContent(read: Buffer, from = 0): void {
  expect(read.length).toBe(CONTENT.length - from);
  expect(read.equals(CONTENT.subarray(from))).toBe(true);
}

it("there is a file of each codec that brokers compress with", () => {
  const codecs = fragmentFileNames().map((name) => fragmentOfFile(name).compressionCodec);
  expect(codecs.sort()).toEqual(WRITTEN_CODECS);
});

describe.each(fragmentFileNames())("the file that a broker wrote: %s", (name) => {
  const fragment = fragmentOfFile(name);
  const file = readFileSync(new URL(name, FRAGMENT_FILES));
  const files = fileTransport(fileURLToPath(FRAGMENT_FILES));
  let store: StubHttpStore;
  beforeAll(async () => {
    store = await StubHttpStore.start();
  });
  afterAll(() => store[Symbol.asyncDispose]());

  it("has in its name what it holds", () => {
    expect(fragmentName(fragment)).toBe(name);
    expect(fragment).toMatchObject({ begin: 1n, end: 1n + BigInt(CONTENT.length) });
    expect(Buffer.from(fragment.sum).toString("hex")).toBe(createHash("sha1").update(CONTENT).digest("hex"));
  });

  it.each(Object.keys(ways))("gives the content byte for byte by %s, from a folder", async (way) => {
    const reader = await openFragmentUrl(files, { fragment, url: `file:///${name}` });
    expectContent((await ways[way]?.(reader)) ?? Buffer.of());
    expect(reader.offset).toBe(fragment.end);
    await reader.close();
  });

  it.each(Object.keys(ways))("gives the content byte for byte by %s, over HTTP", async (way) => {
    const transports = fragmentTransports();
    try {
      const url = store.put(`/${name}`, file);
      const reader = await openFragmentUrl(transports, { fragment, url });
      expectContent((await ways[way]?.(reader)) ?? Buffer.of());
      await reader.close();
    } finally {
      transports.close();
    }
  });

  it.each([1, 7, 1_000, 65_536])(
    "gives the content byte for byte when it comes in pieces of %i bytes",
    async (size) => {
      expectContent(
        await byRead(new FragmentReader({ [Symbol.asyncIterator]: () => pieces(file, size) }, fragment)),
      );
      const reader = new FragmentReader({ [Symbol.asyncIterator]: () => pieces(file, size) }, fragment);
      expectContent(await byReadInto(10_000)(reader));
    },
  );

  it("is read from any offset on", async () => {
    for (const from of [1, 60_000, 65_536, 131_072, 200_000, CONTENT.length - 1, CONTENT.length]) {
      const offset = fragment.begin + BigInt(from);
      const reader = await openFragmentUrl(files, { fragment, offset, url: `file:///${name}` });
      expectContent(await byRead(reader), from);
    }
  });

  it("is too short wherever it is cut", async () => {
    for (let length = 0; length < file.length; length += 331) {
      const cut = pieces(file.subarray(0, length), 4_096);
      const reader = new FragmentReader({ [Symbol.asyncIterator]: () => cut }, fragment);
      await expect(byRead(reader), `${length}`).rejects.toMatchObject({ code: "unexpected-eof" });
    }
  });
});

it("ZSTANDARD of a broker is read by WebAssembly too, which Node before 22.15 uses", async () => {
  const name = fragmentFileNames().find((each) => each.endsWith(".zst")) ?? "";
  const file = readFileSync(new URL(name, FRAGMENT_FILES));
  for (const size of [1_000, file.length]) expectContent(await all(unzstdByWasm(pieces(file, size))));
});
