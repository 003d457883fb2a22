import { parseRef } from "@x/blob-replica";
import { type Coord, CoordError, type KeyValue } from "@x/coord";
import { TopicError, type TopicErrorCode } from "../errors.js";
import { segmentKey } from "../protocol/keys.js";
import { decodeSegment } from "../protocol/records.js";
import {
  type ArchiveEntry,
  type ArchiveNames,
  isSameEntry,
  type NamedEntry,
  type NamesCallOptions,
  type PutNameOptions,
  parseArchiveName,
} from "./names.js";

export interface CoordNamesOptions {
  /** The store that has the records of the topics. */
  readonly coord: Coord;
}

/** `{prefix}{topic}/{incarnation}/{segment}` -> JSON `manifest`, `lastSeq`, `bytes`. */
const NAMES = "/x/archive/segments/";
/** The first string behind all of them. */
const BEHIND_NAMES = "/x/archive/segments0";
/** Its mod revision is the generation. */
const GENERATION = "/x/archive/generation";
const PAGE = 500;

/**
 * Names beside the records of the topics, so that everybody who sees these sees them, too. The segment's own record decides what may be
 * archived: a name is put in one transaction with a look at it, and only when it says that the segment is sealed, with this last sequence.
 * So a late archiver can neither bring back what was deleted, nor name what ends elsewhere than was recorded.
 */
export function coordNames({ coord }: CoordNamesOptions): ArchiveNames {
  return new CoordNames(coord);
}

class CoordNames implements ArchiveNames {
  readonly #coord: Coord;

  constructor(coord: Coord) {
    this.#coord = coord;
  }

  async get(name: string, { signal }: NamesCallOptions = {}): Promise<ArchiveEntry | undefined> {
    const key = keyOf(name);
    const { kvs } = await asTopicErrors(this.#coord.get({ key }, signalOf(signal)), signal);
    return kvs[0] && decodeEntry(kvs[0]);
  }

  async put(name: string, entry: ArchiveEntry, options: PutNameOptions): Promise<boolean> {
    const { generation, replaces, signal } = options;
    const { segment, incarnation } = parseArchiveName(name);
    const keys = [segmentKey(segment), keyOf(name), GENERATION] as const;
    for (;;) {
      const [record, there, current] = await this.#read(keys, signal);
      if ((current?.modRevision ?? 0n) !== generation) return false;
      const refused = refusal(entry, record, incarnation);
      if (refused) throw new TopicError(refused.code, `${name} is not to be archived: ${refused.why}`);
      if (there && isKept(there, entry, replaces)) return true;
      const compare = [record, there, current].map((kv, i) => ({
        key: keys[i] as string, // as many
        target: "mod" as const,
        op: "=" as const,
        value: kv?.modRevision ?? 0n,
      }));
      const value = JSON.stringify({
        manifest: entry.manifest,
        lastSeq: entry.lastSequence,
        bytes: entry.bytes,
      });
      const txn = { compare, then: [{ type: "put", key: keys[1], value }] } as const;
      const { succeeded } = await asTopicErrors(this.#coord.txn(txn, signalOf(signal)), signal);
      if (succeeded) return true;
    }
  }

  async delete(name: string, { signal }: NamesCallOptions = {}): Promise<void> {
    const key = keyOf(name);
    for (;;) {
      const { kvs } = await asTopicErrors(this.#coord.get({ key }, signalOf(signal)), signal);
      if (!kvs[0]) return;
      // Only what was seen: a request that is applied late must not delete what was put meanwhile.
      const compare = [{ key, target: "mod", op: "=", value: kvs[0].modRevision }] as const;
      const txn = { compare, then: [{ type: "delete", key }] } as const;
      const { succeeded } = await asTopicErrors(this.#coord.txn(txn, signalOf(signal)), signal);
      if (succeeded) return;
    }
  }

  async *list({ signal }: NamesCallOptions = {}): AsyncGenerator<NamedEntry, void, undefined> {
    let from = NAMES;
    for (;;) {
      const selector = { from, to: BEHIND_NAMES };
      const options = { limit: PAGE, ...signalOf(signal) };
      const { kvs, more } = await asTopicErrors(this.#coord.get(selector, options), signal);
      for (const kv of kvs) yield { name: kv.key.slice(NAMES.length), ...decodeEntry(kv) };
      const last = kvs.at(-1);
      if (!more || !last) return;
      from = `${last.key}\0`;
    }
  }

  async generation({ signal }: NamesCallOptions = {}): Promise<bigint> {
    const [current] = await this.#read([GENERATION], signal);
    return current?.modRevision ?? 0n;
  }

  async nextGeneration(from: bigint, { signal }: NamesCallOptions = {}): Promise<bigint | undefined> {
    const compare = [{ key: GENERATION, target: "mod", op: "=", value: from }] as const;
    const txn = { compare, then: [{ type: "put", key: GENERATION, value: "" }] } as const;
    const { succeeded, revision } = await asTopicErrors(this.#coord.txn(txn, signalOf(signal)), signal);
    return succeeded ? revision : undefined;
  }

  /** Of one revision. */
  async #read(
    keys: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<readonly (KeyValue | undefined)[]> {
    const txn = { then: keys.map((key) => ({ type: "get", key }) as const) };
    const { results } = await asTopicErrors(this.#coord.txn(txn, signalOf(signal)), signal);
    return keys.map((_, i) => {
      const result = results[i];
      return result?.type === "get" ? result.kvs[0] : undefined;
    });
  }
}

function keyOf(name: string): string {
  parseArchiveName(name);
  return NAMES + name;
}

/** Why the segment's record forbids it. @throws TopicError "corrupt" for a record that cannot be read */
function refusal(
  entry: ArchiveEntry,
  kv: KeyValue | undefined,
  incarnation: bigint,
): { readonly code: TopicErrorCode; readonly why: string } | undefined {
  if (!kv) return { code: "not-owner", why: "there is no record of the segment" };
  const record = decodeSegment(kv.value);
  const recorded = record.sealed?.lastSequence;
  if (record.incarnation !== incarnation) {
    return { code: "not-owner", why: `its record is of the topic's incarnation ${record.incarnation}` };
  }
  if (record.state !== "sealed" && record.state !== "archived") {
    return { code: "not-owner", why: `its record says that it is ${record.state}` };
  }
  if (recorded !== entry.lastSequence) {
    return { code: "log-exists", why: `it ends with ${entry.lastSequence}, and ${recorded} was recorded` };
  }
  return undefined;
}

/** Whether what is there already stays. */
function isKept(there: KeyValue, entry: ArchiveEntry, replaces: ArchiveEntry | undefined): boolean {
  let old: ArchiveEntry;
  try {
    old = decodeEntry(there);
  } catch {
    return false;
  }
  return old.lastSequence === entry.lastSequence && !isSameEntry(old, replaces);
}

/** @throws TopicError "corrupt" */
function decodeEntry({ key, value }: KeyValue): ArchiveEntry {
  try {
    const fields: unknown = JSON.parse(Buffer.from(value).toString("utf8"));
    const { manifest, lastSeq, bytes } = fields as Record<string, unknown>; // looked at below
    if (isCount(lastSeq) && isCount(bytes)) {
      return { manifest: parseRef(String(manifest)), lastSequence: lastSeq, bytes };
    }
  } catch {
    // Told below.
  }
  throw new TopicError("corrupt", `the record ${key} does not say where the segment is`);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0; // an integer
}

function signalOf(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal ? { signal } : {};
}

async function asTopicErrors<T>(call: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (signal?.aborted || !(error instanceof CoordError)) throw error;
    const code = error.code === "closed" || error.code === "fenced" ? "closed" : "unavailable";
    throw new TopicError(code, `the names of archived segments can't be had: ${error.message}`, {
      cause: error,
    });
  }
}
