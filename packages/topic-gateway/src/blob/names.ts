/** The port of names: which manifest an archived segment has, for all processes of a cluster. */
import type { Ref } from "@x/blob-replica";
import { TopicError } from "../errors.js";
import { parseSegmentName, type SegmentId } from "../protocol/segment-id.js";

/** What a name points to. */
export interface ArchiveEntry {
  readonly manifest: Ref;
  /** Of the segment's last message, 0 for none. */
  readonly lastSequence: number;
  /** Of all frames together. */
  readonly bytes: number;
}

export interface NamedEntry extends ArchiveEntry {
  readonly name: string;
}

export interface NamesCallOptions {
  readonly signal?: AbortSignal;
}

export interface PutNameOptions extends NamesCallOptions {
  /** The generation that was read before the first blob of the entry was put. */
  readonly generation: bigint;
  /** An entry that was found to be damaged, and may be replaced by another one of the same last sequence. */
  readonly replaces?: ArchiveEntry;
}

/**
 * Names of archived segments, `{topic}/{incarnation}/{segment}`, with the manifest of each; and the generation, a number that rises whenever
 * somebody begins to look for garbage. All calls are linearizable, also between processes. They reject with `signal.reason`, and with
 * TopicError "unavailable" when nobody knows whether a change was made.
 */
export interface ArchiveNames {
  /** @throws TopicError "corrupt" for a record that cannot be read */
  get(name: string, options?: NamesCallOptions): Promise<ArchiveEntry | undefined>;
  /**
   * Points the name to the entry, in one transaction with a look at the generation. False when that is another one by now: then nothing was
   * changed, and the entry's blobs may be gone. When the name points to another entry of the same last sequence, that one stays, unless it is
   * the one to be replaced.
   * @throws TopicError "log-exists" when the segment is known to end elsewhere, "not-owner" when it is not to be archived (any more)
   */
  put(name: string, entry: ArchiveEntry, options: PutNameOptions): Promise<boolean>;
  /** A missing one is fine. */
  delete(name: string, options?: NamesCallOptions): Promise<void>;
  /** In no particular order. Those that are there from the call to its end are among them. @throws as `get` */
  list(options?: NamesCallOptions): AsyncIterable<NamedEntry>;
  /** The generation now. */
  generation(options?: NamesCallOptions): Promise<bigint>;
  /** Begins another generation, if this is still the one. Undefined if it is not. */
  nextGeneration(from: bigint, options?: NamesCallOptions): Promise<bigint | undefined>;
}

const FORM = /^([A-Za-z0-9_]{1,128})\/(0|[1-9]\d{0,19})\/([0-9_-]{1,64})$/;

/** @throws TopicError "invalid-argument" */
export function parseArchiveName(name: string): {
  readonly segment: SegmentId;
  readonly incarnation: bigint;
} {
  const match = typeof name === "string" ? FORM.exec(name) : null;
  try {
    if (match) {
      const [, topic = "", incarnation = "", segment = ""] = match;
      return { segment: parseSegmentName(topic, segment), incarnation: BigInt(incarnation) };
    }
  } catch {
    // Told below: what is wrong with a part is wrong with the name.
  }
  const shown = String(typeof name === "string" ? JSON.stringify(name) : name).slice(0, 80);
  throw new TopicError(
    "invalid-argument",
    `${shown} is not the name of an archived segment: "{topic}/{incarnation}/{time}_{from}-{to}" is`,
  );
}

export function isSameEntry(one: ArchiveEntry | undefined, other: ArchiveEntry | undefined): boolean {
  return one?.manifest === other?.manifest && one?.lastSequence === other?.lastSequence;
}
