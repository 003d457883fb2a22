import type { PointValue } from "@x/fanout";
import { TopicError } from "../errors.js";
import type { FoundMessage } from "../protocol/buffer-api.js";
import { readFrame } from "../protocol/frame.js";
import { inRange } from "../protocol/hash-range.js";
import { keyOfBody } from "../protocol/message.js";
import type { TopicName } from "../protocol/names.js";
import type { SegmentView } from "../topics/state.js";
import type { ClientContext } from "./context.js";
import { type Found, type KeySearch, segmentsOfHash } from "./key-search.js";
import type { Place } from "./places.js";

/** A server's answer for a key, with the segments that it served by the records when it was asked. */
export interface ServerAnswer {
  readonly lease: bigint;
  readonly served: readonly SegmentView[];
  readonly found: Found | undefined;
}

export interface AskPlaceOptions {
  readonly topic: TopicName;
  /** 100 ns since 1582-10-15. */
  readonly fromTime: bigint;
  readonly searchAt: (offset: number) => KeySearch;
  readonly signal: AbortSignal;
}

/** Asks whoever is at a place for the keys of the searches there. Undefined as a value: the segment is elsewhere now, look again. */
export async function* askPlace(
  { cache, connections }: ClientContext,
  { address, segment }: Place,
  offsets: readonly number[],
  { topic: name, fromTime, searchAt, signal }: AskPlaceOptions,
): AsyncGenerator<PointValue<ServerAnswer | undefined>> {
  if (address === undefined) {
    for (const offset of offsets) yield { offset, value: undefined };
    return;
  }
  const lost = (): TopicError => new TopicError("not-owner", `${address} has the segment no more`);
  const { server } = segment;
  if (server?.address !== address) throw lost();
  // Not its address: one that was started again has that too, and nothing of what it served before.
  const { lease } = server;
  // Nobody else has it, so the key waits until the buffer answers again, or another one has taken the segment over.
  const buffer = connections.toAsk(address);
  const topic = cache.state.topic(name);
  const searches = offsets.map(searchAt);
  const served = searches.map(({ hash }) =>
    topic ? segmentsOfHash(topic, hash).filter(({ server }) => server?.lease === lease) : [],
  );
  const moved = new AbortController();
  // A buffer that hangs says nothing: that its segment is another's now is in the records.
  const unlisten = cache.listen(() => {
    if (segment.server?.lease !== lease) moved.abort(lost());
  });
  const options = {
    fromTime,
    revision: newestRevision(served),
    lease,
    signal: AbortSignal.any([signal, moved.signal]),
  };
  const keys = searches.map(({ key }) => key);
  try {
    for await (const { index, found } of buffer.getMany(name, keys, options)) {
      const offset = offsets[index];
      const search = searches[index];
      if (offset === undefined || !search)
        throw new TopicError("unavailable", `${address} answered for a key that nobody asked for`);
      const value = { lease, served: served[index] ?? [], found: found && checkFound(found, name, search) };
      yield { offset, value };
    }
    connections.report(address);
  } catch (error) {
    if (!options.signal.aborted) connections.report(address, { error });
    throw error;
  } finally {
    unlisten();
  }
}

/**
 * Of what the records say of these segments and their servers. Not the state's: a snapshot may be of the revision of a key that is not
 * ours, which no watch of ours ever tells a buffer.
 */
function newestRevision(served: readonly (readonly SegmentView[])[]): bigint {
  let newest = 0n;
  for (const segments of served) {
    for (const { modRevision, server } of segments) {
      if (modRevision > newest) newest = modRevision;
      if (server && server.modRevision > newest) newest = server.modRevision;
    }
  }
  return newest;
}

/** @throws TopicError "corrupt" for what is not an answer to the question */
function checkFound({ segment, frame: bytes }: FoundMessage, topic: TopicName, search: KeySearch): Found {
  const { key, hash } = search;
  const frame = readFrame(bytes, 0);
  if (typeof frame === "string") throw new TopicError("corrupt", `the buffer's answer is no frame: ${frame}`);
  let keyFound: string | undefined;
  try {
    if (frame.kind === "message") keyFound = keyOfBody(frame.body);
  } catch (cause) {
    throw new TopicError("corrupt", "the buffer's answer is a frame without a message", { cause });
  }
  if (keyFound !== key || segment.topic !== topic || !inRange(hash, segment.range)) {
    throw new TopicError("corrupt", `the buffer's answer is not for the key ${JSON.stringify(key)}`);
  }
  return { segment, frame };
}
