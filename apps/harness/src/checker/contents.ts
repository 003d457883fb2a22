/** Reads what the logs and archives of a system hold, when nobody writes them any more. */
import {
  archiveName,
  decodeBody,
  type FrameChunk,
  messagesInFrames,
  type SegmentArchive,
  type SegmentLogStore,
  TopicError,
} from "@x/topic-gateway/protocol";
import type { LoggedMessage, ObservedRevision, SegmentContent, Stamp } from "./history.js";
import { type SegmentLife, Timeline } from "./timeline.js";

export interface ContentSources {
  readonly logs: SegmentLogStore;
  readonly archive: SegmentArchive;
  /** What the workload wrote into a message. */
  readonly readStamp: (data: Uint8Array) => Stamp;
}

/** The messages of every segment that is not deleted. Segments that were never sealed are sealed now, to learn where they end. */
export async function readContents(
  revisions: readonly ObservedRevision[],
  sources: ContentSources,
): Promise<SegmentContent[]> {
  const contents: SegmentContent[] = [];
  for (const segment of new Timeline(revisions).segments.values()) {
    if (segment.isDeleted) continue;
    const { topic, name } = segment;
    const messages: LoggedMessage[] = [];
    try {
      for await (const message of messagesOf(segment, sources)) messages.push(message);
      contents.push({ topic, segment: name, messages });
    } catch (error) {
      if (!(error instanceof TopicError)) throw error;
      contents.push({ topic, segment: name, messages, damage: `${error.code}: ${error.message}` });
    }
  }
  return contents;
}

async function* messagesOf(
  { id, last }: SegmentLife,
  { logs, archive, readStamp }: ContentSources,
): AsyncGenerator<LoggedMessage> {
  const { lastSequence } = last.sealed ?? (await logs.seal(last.log));
  if (lastSequence === 0) return;
  const chunks: AsyncIterable<FrameChunk> =
    last.state === "archived"
      ? archive.read(archiveName(id, last.incarnation), { lastSequence })
      : logs.read(last.log, { lastSequence });
  for await (const { frames } of chunks) {
    for (const { sequence, time, body } of messagesInFrames(frames)) {
      const { key, data, producer } = decodeBody(body);
      const dedup = producer && {
        id: Buffer.from(producer.id).toString("hex"),
        sequence: producer.sequence,
      };
      yield { sequence, time, key, ...readStamp(data), ...(dedup && { dedup }) };
    }
  }
}
