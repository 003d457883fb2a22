import type { BufferRegistry, TopicClient } from "@x/topic-gateway";
import type { Clock } from "@x/topic-gateway/protocol";
import type { RegistrySummary, ServerJudgement } from "@x/viewreg";
import type { ArchiveStatus } from "../archive/open-archive.js";

export interface Status {
  /** When it was read, by a clock that only tells how much later another status is. */
  readonly atMs: number;
  readonly buffers: readonly BufferStatus[];
  /** What the registry of buffers says of itself. */
  readonly registry: Omit<RegistrySummary, "version">;
  readonly topics: readonly TopicStatus[];
  /** Where sealed segments go, as this process sees it. */
  readonly archive: ArchiveStatus;
}

export interface BufferStatus {
  readonly id: string;
  readonly address: string;
  /** How many it holds. */
  readonly ranges: number;
  /** What the registry thinks of it; null as long as it has not found it. */
  readonly health: BufferHealthStatus | null;
}

export interface BufferHealthStatus {
  readonly healthy: boolean;
  /** `healthy`, or the most important of the reasons. */
  readonly state: string;
  /** All that is held against it. A healthy one with any is used because nearly all are unwell. */
  readonly reasons: readonly string[];
  /** Since when it is healthy, or is not. */
  readonly since: string;
  /** Null when it never answered. */
  readonly answeredAgoMs: number | null;
  /** What went wrong with the last check, null when nothing did. */
  readonly lastError: string | null;
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

export interface StatusSources {
  readonly client: TopicClient;
  readonly buffers: Pick<BufferRegistry, "judge" | "summary">;
  readonly archive: () => ArchiveStatus;
  readonly clock: Clock;
}

export function statusReader(sources: StatusSources): () => Promise<Status> {
  const { clock } = sources;
  let latest: { readonly atMs: number; readonly status: Promise<Status> } | undefined;
  return () => {
    const nowMs = clock.monotonicMs();
    if (!latest || nowMs - latest.atMs >= FRESH_MS) {
      const reading = { atMs: nowMs, status: readStatus(sources, nowMs) };
      latest = reading;
      reading.status.catch(() => {
        if (latest === reading) latest = undefined;
      });
    }
    return latest.status;
  };
}

/** What the page shows: who is there, who has what, and how many messages there are. */
async function readStatus(
  { client, buffers: registry, archive, clock }: StatusSources,
  atMs: number,
): Promise<Status> {
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
  const wallMs = clock.wallMs();
  const buffers = client.listBuffers().map(({ id, address }): BufferStatus => {
    const judgement = registry.judge(address);
    const health = judgement ? toHealth(judgement, wallMs) : null;
    return { id, address, ranges: held.get(address) ?? 0, health };
  });
  const { version: _, ...summary } = registry.summary();
  return { atMs, buffers, registry: summary, topics, archive: archive() };
}

function toHealth(judgement: ServerJudgement, wallMs: number): BufferHealthStatus {
  const { healthy, reasons, forMs, answeredAgoMs, lastError } = judgement;
  return {
    healthy,
    state: healthy ? "healthy" : (reasons[0] ?? "unproven"),
    reasons,
    since: new Date(wallMs - forMs).toISOString(),
    answeredAgoMs: answeredAgoMs === undefined ? null : Math.round(answeredAgoMs),
    lastError: lastError ?? null,
  };
}
