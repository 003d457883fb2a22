import { murmur3Mod } from "@x/space";
import { TopicError } from "../errors.js";
import type { FoundMessage } from "../protocol/buffer-api.js";
import { type Frame, messagesInFrames, readFrame } from "../protocol/frame.js";
import { HASHES, inRange } from "../protocol/hash-range.js";
import { keyOfBody } from "../protocol/message.js";
import { checkKey, type TopicName } from "../protocol/names.js";
import { archiveName, type SegmentId } from "../protocol/segment-id.js";
import type { SegmentView, TopicView } from "../topics/state.js";
import type { ClientContext } from "./context.js";

export interface Found {
  readonly segment: SegmentId;
  readonly frame: Frame;
}

/**
 * The newest message of a key, at least as new as `fromTime` (100 ns since 1582-10-15), or undefined.
 * @throws TopicError "invalid-key", "topic-not-found", "unavailable" (somebody who may have it did not answer)
 */
export async function getNewest(
  context: ClientContext,
  name: TopicName,
  key: string,
  options: { readonly fromTime?: bigint; readonly signal?: AbortSignal } = {},
): Promise<Found | undefined> {
  checkKey(key);
  const { signal, fromTime = 0n } = options;
  const topic = context.cache.state.topic(name);
  if (!topic) throw new TopicError("topic-not-found", `there is no topic "${name}"`);
  const hash = murmur3Mod(key, HASHES - 1);
  const asked = new Set<string>();
  let best: Found | undefined;
  // Newest first: the segments of one hash follow each other in time, so the first hit that nothing unasked is newer than wins.
  for (const segment of segmentsOfHash(topic, hash)) {
    if (best && segment.id.startTime <= best.segment.startTime) break;
    const { record, server } = segment;
    if (record?.sealed && record.sealed.lastTime < fromTime) break;
    let found: Found | undefined;
    if (record?.state === "archived") {
      found = await searchArchive(context, segment, key, signal);
    } else {
      if (server?.address === undefined) {
        throw new TopicError(
          "unavailable",
          `nobody serves the segment ${segment.id.startTime} of "${name}" now`,
        );
      }
      if (asked.has(server.address)) continue;
      asked.add(server.address);
      found = toFound(
        await context.connections.to(server.address).get(name, key, { fromTime, ...(signal && { signal }) }),
      );
    }
    if (found && found.frame.time >= fromTime && (!best || found.frame.time > best.frame.time)) best = found;
  }
  return best;
}

function segmentsOfHash(topic: TopicView, hash: number): SegmentView[] {
  return [...topic.segments.values()]
    .filter(({ id, record }) => record && record.state !== "deleted" && inRange(hash, id.range))
    .sort((a, b) => (a.id.startTime < b.id.startTime ? 1 : -1));
}

function toFound(message: FoundMessage | undefined): Found | undefined {
  if (!message) return undefined;
  const frame = readFrame(message.frame, 0);
  if (typeof frame === "string") throw new TopicError("corrupt", `the buffer's answer is no frame: ${frame}`);
  return { segment: message.segment, frame };
}

async function searchArchive(
  context: ClientContext,
  segment: SegmentView,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Found | undefined> {
  const { id, record } = segment;
  if (!context.archive)
    throw new TopicError(
      "unavailable",
      `the segment ${id.startTime} is archived, and this client has no archive`,
    );
  if (!record?.sealed || record.sealed.lastSequence === 0) return undefined;
  const options = { lastSequence: record.sealed.lastSequence, ...(signal && { signal }) };
  let newest: Found | undefined;
  for await (const chunk of context.archive.read(archiveName(id, record.incarnation), options)) {
    for (const frame of messagesInFrames(chunk.frames)) {
      if (keyOfBody(frame.body) === key) newest = { segment: id, frame };
    }
  }
  return newest;
}
