/**
 * Reading fragments on Node with next to nothing around it: their files in a bare loop of node:fs, and the decompressors that the client has,
 * fed with files that are in memory already. No broker is asked and nothing is compared. It is a measure and no bound: here each block of what
 * is decompressed is in new memory, which is the garbage collector's, while the client frees it at once and so can be faster.
 */
import { readdirSync, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as zlib from "node:zlib";
import type { Call } from "./call.js";
import type { Done, Load } from "./loads.js";

const CHUNK_BYTES = 1024 * 1024;
const PART_BYTES = 64 * 1024;

export type BareFragmentsMode = "bare-file" | "bare-snappy" | "bare-zstd";

/** What the client would load itself. */
const own = createRequire(import.meta.resolve("@x/journal-client"));

export async function bareFragments(mode: BareFragmentsMode): Promise<Load> {
  const decompress =
    mode === "bare-snappy" ? bareSnappy() : mode === "bare-zstd" ? await bareZstd() : undefined;
  return {
    prepare: ({ journal, bytes = 1, fileRoot = "" }: Call) => {
      const folder = join(fileRoot, journal);
      const paths = readdirSync(folder)
        .sort()
        .map((name) => join(folder, name));
      if (decompress === undefined) return () => readFiles(paths, bytes);
      const files = paths.map((path) => readFileSync(path));
      return () => decompressFiles(files, bytes, decompress);
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

async function readFiles(paths: readonly string[], bytes: number): Promise<Done> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let total = 0;
  for (const path of paths) {
    const file = await open(path);
    try {
      while (total < bytes) {
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, bytes - total), null);
        if (bytesRead === 0) break;
        total += bytesRead;
      }
    } finally {
      await file.close();
    }
  }
  return { ops: 1, bytes: total };
}

/** Gives the lengths of what it makes of a file, as they come. */
type Decompress = (file: Buffer) => AsyncIterable<number> | Iterable<number>;

async function decompressFiles(
  files: readonly Buffer[],
  bytes: number,
  decompress: Decompress,
): Promise<Done> {
  let total = 0;
  for (const file of files) {
    if (total >= bytes) break;
    for await (const length of decompress(file)) {
      total += length;
      if (total >= bytes) break;
    }
  }
  return { ops: 1, bytes: Math.min(total, bytes) };
}

function bareSnappy(): Decompress {
  const { uncompressSync } = own("snappy") as {
    uncompressSync(input: Uint8Array, options: object): Uint8Array;
  };
  return function* (file) {
    for (let at = 0; at < file.length; ) {
      const [type, length] = [file.readUInt8(at), file.readUIntLE(at + 1, 3)];
      const block = file.subarray(at + 8, at + 4 + length);
      at += 4 + length;
      // Compressed, stored, or nothing of the content.
      if (type === 0) yield uncompressSync(block, { asBuffer: true, copyOutputData: true }).length;
      else if (type === 1) yield block.length;
    }
  };
}

async function bareZstd(): Promise<Decompress> {
  const { createZstdDecompress } = zlib as unknown as {
    readonly createZstdDecompress?: (options: object) => zlib.Gunzip; // The types are those of a Node that does not have it.
  };
  if (createZstdDecompress !== undefined) {
    return async function* (file) {
      const decoder = createZstdDecompress({ chunkSize: 8 * PART_BYTES });
      decoder.end(file);
      for await (const chunk of decoder as AsyncIterable<Buffer>) yield chunk.length;
    };
  }
  const { ZSTDDecoder } = (await import(pathToFileURL(own.resolve("zstddec/stream")).href)) as {
    ZSTDDecoder: new () => {
      init(): Promise<void>;
      decodeStreaming(parts: Iterable<Uint8Array>): Iterable<Uint8Array>;
    };
  };
  const decoder = new ZSTDDecoder();
  await decoder.init();
  return function* (file) {
    for (const chunk of decoder.decodeStreaming(parts(file))) yield chunk.length;
  };
}

function* parts(file: Buffer): Generator<Buffer> {
  for (let at = 0; at < file.length; at += PART_BYTES) yield file.subarray(at, at + PART_BYTES);
}
