import type { TopicClient } from "@x/topic-gateway";
import type { Clock } from "@x/topic-gateway/protocol";

export interface Status {
  /** When it was read, by a clock that only tells how much later another status is. */
  readonly atMs: number;
  readonly buffers: readonly { readonly id: string; readonly address: string; readonly ranges: number }[];
  readonly topics: readonly TopicStatus[];
}

export interface TopicStatus {
  readonly name: string;
  /** Messages stored, as far as their buffers answered. */
  readonly messages: number;
  readonly ranges: readonly {
    readonly from: number;
    readonly to: number;
    /** Null while nobody owns it. */
    readonly buffer: string | null;
    readonly messages: number;
  }[];
  readonly subscriptions: readonly string[];
}

/** Each reading asks every buffer for every topic, so all who look within this time share one. */
const FRESH_MS = 500;

export function statusReader(client: TopicClient, clock: Clock): () => Promise<Status> {
  let latest: { readonly atMs: number; readonly status: Promise<Status> } | undefined;
  return () => {
    const nowMs = clock.monotonicMs();
    if (!latest || nowMs - latest.atMs >= FRESH_MS) {
      const reading = { atMs: nowMs, status: readStatus(client, nowMs) };
      latest = reading;
      reading.status.catch(() => {
        if (latest === reading) latest = undefined;
      });
    }
    return latest.status;
  };
}

/** What the page shows: who is there, who has what, and how many messages there are. */
async function readStatus(client: TopicClient, atMs: number): Promise<Status> {
  const topics = await Promise.all(
    client.topics.list().map(async ({ name, ranges }): Promise<TopicStatus> => {
      const { messages, segments } = await client.describe(name);
      const byRange = new Map<string, number>();
      for (const segment of segments) {
        byRange.set(segment.range, (byRange.get(segment.range) ?? 0) + (segment.messages ?? 0));
      }
      return {
        name,
        messages,
        ranges: ranges.map(({ range: { from, to }, buffer }) => ({
          from,
          to: to - 1,
          buffer: buffer ?? null,
          messages: byRange.get(`${from}-${to - 1}`) ?? 0,
        })),
        subscriptions: client.listSubscriptions(name),
      };
    }),
  );
  const held = new Map<string, number>();
  for (const { buffer } of topics.flatMap(({ ranges }) => ranges)) {
    if (buffer !== null) held.set(buffer, (held.get(buffer) ?? 0) + 1);
  }
  const buffers = client
    .listBuffers()
    .map(({ id, address }) => ({ id, address, ranges: held.get(address) ?? 0 }));
  return { atMs, buffers, topics };
}
