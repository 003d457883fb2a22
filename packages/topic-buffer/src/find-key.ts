import { type FoundMessage, type GetManyOptions, inRange } from "@x/topic-gateway/protocol";
import { keyHash } from "./entries.js";
import type { ServedSegment } from "./served.js";

/** The newest message of a key in what is served of a topic, if its id time is at least `fromTime`. @throws `signal.reason` */
export async function findKey(
  served: { ofTopic(topic: string): readonly ServedSegment[] },
  { topic, key }: { readonly topic: string; readonly key: string },
  { signal, fromTime = 0n }: GetManyOptions,
): Promise<FoundMessage | undefined> {
  signal?.throwIfAborted();
  const hash = keyHash(key);
  const newestFirst = served
    .ofTopic(topic)
    .map(({ hot }) => hot)
    .filter(({ id }) => inRange(hash, id.range))
    .sort((a, b) => (a.id.startTime < b.id.startTime ? 1 : -1));
  for (const segment of newestFirst) {
    const found = await segment.find(key, signal);
    if (found) return found.time >= fromTime ? { segment: segment.id, frame: found.frame } : undefined;
  }
  return undefined;
}
