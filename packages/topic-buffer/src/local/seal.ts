import type { FileHandle, FileSystem } from "@x/coord";
import { TopicError } from "@x/topic-gateway/protocol";
import { readHeader } from "./log-header.js";
import { findDamage, type LogPoint, LogScanner } from "./log-scanner.js";
import type { LogPaths } from "./paths.js";
import { placeMarker, readMarkedEnd, writeMarkedEnd } from "./seal-marker.js";

const COPY_BYTES = 1024 * 1024;

export interface SealOptions {
  /** A point of the log below which everything is known to be durable. */
  readonly known?: LogPoint | undefined;
  readonly onPoint?: (point: LogPoint) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Seals a log and finds where its valid frames end.
 *
 * Nothing acknowledged is behind that end: an append is acknowledged only if its frames were synced and the marker looked
 * for after that, so of an acknowledged append the frames were in the file before the marker was, and the scan starts after.
 *
 * The writer may be in the middle of a write while this scans. It will not be acknowledged; frames of it that are already
 * whole count, and are made durable here, so that what one reader saw is not gone after a power cut.
 *
 * @throws TopicError "log-missing", "corrupt"; errors of the file system as they are
 */
export async function sealLog(
  fileSystem: FileSystem,
  paths: LogPaths,
  options: SealOptions,
): Promise<{ end: LogPoint; torn: boolean }> {
  const { signal } = options;
  const file = await fileSystem.open(paths.log, "update");
  try {
    const marker = await placeMarker(fileSystem, paths);
    try {
      signal?.throwIfAborted();
      await file.datasync();
      const header = await readHeader(file, paths);
      const marked = await readMarkedEnd(marker, paths.nonce);
      const size = await file.size();
      if (marked && marked.offset > size) {
        throw new TopicError(
          "corrupt",
          `the log ${paths.name} has ${size} bytes, but ended at byte ${marked.offset} (sequence ${marked.sequence}) when it was sealed`,
        );
      }
      const from = [header, options.known, marked].reduce<LogPoint>(
        (best, point) => (point && point.offset > best.offset ? point : best),
        header,
      );
      const scanner = new LogScanner(file, {
        nonce: paths.nonce,
        from,
        ...(options.onPoint && { onPoint: options.onPoint }),
      });
      const all = { fromSequence: Number.MAX_SAFE_INTEGER, lastSequence: Number.MAX_SAFE_INTEGER, signal };
      for await (const _ of scanner.chunks(all));
      const end = scanner.point;
      const proof = await findDamage(file, { nonce: paths.nonce, from: end, signal });
      if (proof !== undefined) {
        throw new TopicError(
          "corrupt",
          `the log ${paths.name} is damaged at byte ${end.offset}, where sequence ${end.sequence + 1} should be: a later frame at byte ${proof} shows that it had been durable`,
        );
      }
      await makeDurable(file, scanner.groupOffset, end.offset);
      if (end.offset !== marked?.offset) await writeMarkedEnd(marker, paths.nonce, end);
      return { end, torn: scanner.torn };
    } finally {
      await marker.close();
    }
  } finally {
    await file.close();
  }
}

/**
 * Writes the frames of the last write over themselves and syncs. A sync alone would not do: after a sync of the writer
 * failed, Linux holds such pages for clean, shows them to every reader and never writes them again. What came before was
 * durable, since the writer had synced it without an error. The writer itself only ever writes these same bytes there.
 */
async function makeDurable(file: FileHandle, from: number, end: number): Promise<void> {
  if (from === end) return;
  for (let at = from; at < end; at += COPY_BYTES) {
    const space = Buffer.allocUnsafe(Math.min(COPY_BYTES, end - at));
    const length = await file.read(space, at);
    await file.write([space.subarray(0, length)], at);
  }
  await file.datasync();
}
