import { TopicError } from "../errors.js";
import type { SegmentStatus } from "../protocol/buffer-api.js";
import { formatHashRange } from "../protocol/hash-range.js";
import type { TopicName } from "../protocol/names.js";
import { segmentName } from "../protocol/segment-id.js";
import type { ClientContext } from "./context.js";

/** Where one segment stands. */
export interface SegmentStats {
  readonly name: string;
  /** `{from}-{to}`, inclusive. */
  readonly range: string;
  readonly state: "open" | "sealed" | "archived" | "deleted";
  /** Who serves it, if anybody. */
  readonly server: string | undefined;
  /** Messages in it; undefined when its server did not answer. */
  readonly messages: number | undefined;
}

export interface TopicStats {
  /** Oldest first. */
  readonly segments: readonly SegmentStats[];
  /** Messages in all segments whose servers answered. */
  readonly messages: number;
  /** Addresses of buffers that did not answer in time, or were not asked because they are known not to answer. */
  readonly silent: readonly string[];
}

/** Counts by the records and, for what is open, by the buffers. @throws TopicError "topic-not-found", "invalid-argument" */
export async function describeTopic(
  context: ClientContext,
  name: TopicName,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<TopicStats> {
  const { timeoutMs } = options;
  if (typeof timeoutMs !== "number" || !(timeoutMs > 0)) {
    throw new TopicError("invalid-argument", `timeoutMs must be a positive number, not ${String(timeoutMs)}`);
  }
  const topic = context.cache.state.topic(name);
  if (!topic) throw new TopicError("topic-not-found", `there is no topic "${name}"`);
  const views = [...topic.segments.values()].filter(({ record }) => record);
  const open = views.filter(({ record }) => record?.state === "open");
  const addresses = new Set(open.flatMap(({ server }) => server?.address ?? []));
  const statuses = new Map<string, SegmentStatus>();
  const silent: string[] = [];
  const stop = new AbortController();
  const uncut = context.runtime.clock.setTimer(timeoutMs, () => stop.abort(new Error("timeout")));
  // Not AbortSignal.any: in Node 20 a signal that lives long never forgets what was derived from it.
  const onAbort = (): void => stop.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  if (options.signal?.aborted) onAbort();
  await Promise.all(
    [...addresses].map(async (address) => {
      try {
        const answer = await context.connections.ask(
          address,
          (buffer, callOptions) => buffer.describe(name, callOptions),
          { signal: stop.signal },
        );
        for (const status of answer) statuses.set(segmentName(status.segment), status);
      } catch {
        options.signal?.throwIfAborted();
        silent.push(address);
      }
    }),
  ).finally(() => {
    uncut();
    options.signal?.removeEventListener("abort", onAbort);
  });
  const segments = views
    .sort((a, b) => (a.id.startTime < b.id.startTime ? -1 : 1))
    .map(({ id, record, server }): SegmentStats => {
      const label = segmentName(id);
      const messages = record?.sealed?.lastSequence ?? statuses.get(label)?.durableSequence;
      const state = record?.state ?? "open";
      return { name: label, range: formatHashRange(id.range), state, server: server?.address, messages };
    });
  const messages = segments.reduce((sum, segment) => sum + (segment.messages ?? 0), 0);
  return { segments, messages, silent: silent.sort() };
}
