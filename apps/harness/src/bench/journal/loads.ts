/** The loads of our client, as `servers/gazette-peer/bench.go` has them for the Go client. */
import { setTimeout as pause } from "node:timers/promises";
import type { JournalClient, ReadRequest, RetryReader } from "@x/journal-client";
import { percentile } from "../stats.js";
import type { Call } from "./call.js";
import { jsonLines } from "./content.js";

const CHUNK_BYTES = 128 * 1024;
/** The whole content is repeated after so much, so that no codec sees it twice in its window. */
const CONTENT_BYTES = 16 * 1024 * 1024;

/** Of the buffer that is read into: the more at a time, the fewer changes of threads. */
const TARGET_BYTES = 1024 * 1024;

/** So long readers are left alone, so that the broker has taken in all of them. */
const SETTLE_MS = 500;

export interface Done {
  readonly ops: number;
  readonly bytes: number;
  readonly latencies?: readonly number[];
  readonly directBytes?: number;
}

/** Who is measured, connected. */
export interface Load extends AsyncDisposable {
  /** Makes what is needed, which takes time of its own, and gives what is to be measured. */
  prepare(call: Call): () => Promise<Done>;
}

/** Connects to the journal's broker, and leaves the route in the cache. */
export async function connect(client: JournalClient, journal: string): Promise<void> {
  await client.getJournal(journal);
  const reader = client.retryReader({ journal, offset: -1n, metadataOnly: true });
  try {
    await reader.read();
  } catch (error) {
    // At the write head there is nothing to tell but that.
    if ((error as { readonly code?: unknown }).code !== "offset-not-yet-available") throw error;
  } finally {
    await reader.close();
  }
}

/** Makes the content, which takes time of its own, and gives what is to be measured. */
export function prepare(client: JournalClient, call: Call): () => Promise<Done> {
  const { journal, count = 1, size = 1, bytes = 1 } = call;
  switch (call.mode) {
    case "append-service": {
      const content = jsonLines(size);
      return () => appendService(client, journal, content, count);
    }
    case "append-sync": {
      const content = jsonLines(size);
      return () => appendSync(client, journal, content, count);
    }
    case "appender": {
      const content = jsonLines(CONTENT_BYTES);
      return () => appendWhole(client, journal, content, bytes);
    }
    case "read":
    case "fragments":
      return () =>
        read(client, {
          request: { journal, offset: 0n, endOffset: BigInt(bytes), doNotProxy: call.mode === "fragments" },
          into: call.into === true ? Buffer.allocUnsafe(TARGET_BYTES) : undefined,
        });
    case "blocked-readers":
      return () => blockedReaders(client, journal, count);
    default:
      throw new Error(`${call.mode} is without a client`);
  }
}

async function appendService(
  client: JournalClient,
  journal: string,
  content: Uint8Array,
  count: number,
): Promise<Done> {
  const service = client.appendService();
  const request = { journal };
  for (let index = 0; index < count; index++) {
    await service.ready();
    const append = service.startAppend(request);
    append.writer.write(content);
    append.release();
  }
  for (const operation of service.pendingExcept("")) {
    const error = await operation.err();
    if (error !== undefined) throw error;
  }
  await service.close();
  return { ops: count, bytes: count * content.length };
}

async function appendSync(
  client: JournalClient,
  journal: string,
  content: Uint8Array,
  count: number,
): Promise<Done> {
  const latencies: number[] = [];
  for (let index = 0; index < count; index++) {
    const begin = performance.now();
    await client.append({ journal }, { content });
    latencies.push(performance.now() - begin);
  }
  return { ops: count, bytes: count * content.length, latencies };
}

async function appendWhole(
  client: JournalClient,
  journal: string,
  content: Uint8Array,
  bytes: number,
): Promise<Done> {
  const appender = client.appender({ journal });
  let at = 0;
  for (let left = bytes; left > 0; ) {
    if (at + CHUNK_BYTES > content.length) at = 0;
    const chunk = content.subarray(at, at + Math.min(CHUNK_BYTES, left));
    await appender.write(chunk);
    left -= chunk.length;
    at += chunk.length;
  }
  await appender.commit();
  return { ops: 1, bytes };
}

async function read(
  client: JournalClient,
  { request, into }: { readonly request: ReadRequest; readonly into: Uint8Array | undefined },
): Promise<Done> {
  const reader = client.retryReader(request);
  let ops = 0;
  let total = 0;
  let directBytes = 0;
  try {
    for (;;) {
      const length = into === undefined ? (await reader.read())?.length : await reader.readInto(into);
      if (length === undefined || length === 0) break;
      ops++;
      total += length;
      if (isDirect(reader)) directBytes += length;
    }
  } finally {
    await reader.close();
  }
  return { ops, bytes: total, directBytes };
}

/** Whether its last chunk came from where a URL said: with `doNotProxy`, a broker that tells one gives no content. */
function isDirect({ reader: { request, response } }: RetryReader): boolean {
  return request.doNotProxy === true && response !== undefined && response.fragmentUrl !== "";
}

/** Readers of a journal that is empty, which brokers answer nothing; then one append, until each has it. */
async function blockedReaders(client: JournalClient, journal: string, count: number): Promise<Done> {
  const readers = Array.from({ length: count }, () => client.retryReader({ journal, block: true }));
  try {
    const reads = Promise.all(readers.map((reader) => reader.read()));
    reads.catch(() => {}); // told below
    // Behind all the reads, by the same connection.
    await client.getJournal(journal);
    await pause(SETTLE_MS);
    const content = jsonLines(1000);
    const begin = performance.now();
    await client.append({ journal }, { content });
    const chunks = await reads;
    const latencies = [performance.now() - begin];
    const complete = chunks.filter((chunk) => chunk?.length === content.length).length;
    if (complete !== count) throw new Error(`${complete} of ${count} readers got what was appended`);
    return { ops: count, bytes: count * content.length, latencies };
  } finally {
    await Promise.all(readers.map((reader) => reader.close()));
  }
}

/** A part of the load, not counted: what is hot is compiled then, as it is in a program that runs for long. */
export function warmUpOf(call: Call): Call | undefined {
  switch (call.mode) {
    case "append-service":
      return { ...call, count: Math.ceil((call.count ?? 1) / 5) };
    case "append-sync":
    case "bare-grpc-append":
    case "bare-http2-append":
    case "fragments":
    case "bare-file":
    case "bare-snappy":
    case "bare-zstd":
      // V8 compiles what was called some thousand times: by an append at a time, or a block of 64 KiB at a time, that takes as long as what is counted.
      return call;
    case "appender":
    case "read":
      return { ...call, bytes: Math.ceil((call.bytes ?? 1) / 8) };
    case "blocked-readers":
      return undefined;
  }
}

export function p50Ms({ latencies }: Done): number {
  return latencies === undefined || latencies.length === 0 ? 0 : percentile(latencies, 0.5);
}
