import type { ClientContext } from "../client/context.js";
import { TopicError } from "../errors.js";
import type { FrameChunk } from "../protocol/buffer-api.js";
import { segmentKey } from "../protocol/keys.js";
import {
  archiveName,
  formatSegmentId,
  type SegmentId,
  type SegmentName,
  segmentName,
} from "../protocol/segment-id.js";
import type { SystemState } from "../topics/state.js";
import { checkChunk, type SegmentChunk } from "./segment-chunk.js";

export interface ReadSegmentOptions {
  /** The last sequence that is not wanted: 0 for all. */
  readonly after: number;
  /** Of the topic that the segment is of. */
  readonly incarnation: bigint;
  readonly signal: AbortSignal;
}

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1000;

/**
 * The messages of one segment in order, each once, whoever serves it at the time: an open one from its live owner, a sealed one
 * from who took it over, an archived one from the archive. Waits while nobody does. What can't be read is told as an event and
 * tried again.
 *
 * Ends when the segment's record says where the segment ends and everything up to there was yielded, or when the record is
 * deleted; no server's word ends it.
 *
 * @throws signal.reason, what ended the view of the topics
 */
export async function* readSegment(
  context: ClientContext,
  segment: SegmentId,
  options: ReadSegmentOptions,
): AsyncGenerator<SegmentChunk, void, undefined> {
  const { signal } = options;
  const look = new SourceFinder(context, segment, options);
  let pauseMs = FIRST_PAUSE_MS;
  for (;;) {
    const source = await context.cache.until((state) => look.source(state), { signal });
    // The same change may have shown a source and ended the reading.
    signal.throwIfAborted();
    if (source.type === "end") return;
    let failure: unknown;
    if (source.type === "nowhere") {
      failure = new TopicError("unavailable", "the segment was archived, and this client has no archive");
    } else {
      const attempt = new Attempt(context, look, source, signal);
      try {
        for await (const { frames } of attempt.open(segment, look.last + 1)) {
          const chunk = checkChunk(frames, { last: look.last, limit: look.limit(context.cache.state) });
          if (chunk) {
            look.last = chunk.lastSequence;
            pauseMs = FIRST_PAUSE_MS;
            yield chunk;
          }
          // Also when that was all: a server need not say so.
          if (attempt.signal.aborted || !look.isStill(source)) break;
        }
        if (source.type === "archive" && look.last < source.lastSequence && !attempt.signal.aborted) {
          failure = new TopicError("corrupt", `the archive ends before sequence ${look.last + 1}`);
        }
      } catch (error) {
        if (!attempt.signal.aborted) failure = error;
      } finally {
        attempt.close();
      }
    }
    signal.throwIfAborted();
    if (failure !== undefined) {
      const message = failure instanceof Error ? failure.message : String(failure);
      context.emit({ type: "read-failed", topic: segment.topic, segment: segmentName(segment), message });
    }
    await look.pause(source, pauseMs * (0.5 + context.runtime.random.number()), signal);
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }
}

/** Where a segment can be read at present. */
type Source =
  | { readonly type: "buffer"; readonly address: string }
  | { readonly type: "archive"; readonly lastSequence: number }
  | { readonly type: "nowhere" }
  | { readonly type: "end" };

/** How far a reader is, and where it can go on. */
class SourceFinder {
  last: number;
  readonly #context: ClientContext;
  readonly #segment: SegmentId;
  readonly #name: SegmentName;
  readonly #incarnation: bigint;

  constructor(context: ClientContext, segment: SegmentId, options: ReadSegmentOptions) {
    this.#context = context;
    this.#segment = segment;
    this.#name = segmentName(segment);
    this.#incarnation = options.incarnation;
    this.last = options.after;
  }

  get archiveName(): string {
    return archiveName(this.#segment, this.#incarnation);
  }

  /** Undefined: nowhere now, but it will be somewhere. */
  source(state: SystemState): Source | undefined {
    const view = state.topics.get(this.#segment.topic)?.segments.get(this.#name);
    const record = view?.record;
    if (!record) return state.faults.has(segmentKey(this.#segment)) ? undefined : { type: "end" };
    if (record.incarnation !== this.#incarnation || record.state === "deleted") return { type: "end" };
    if (record.sealed && this.last >= record.sealed.lastSequence) return { type: "end" };
    if (record.state === "archived" && record.sealed && this.#context.archive) {
      return { type: "archive", lastSequence: record.sealed.lastSequence };
    }
    const address = view.server?.address;
    if (address !== undefined) return { type: "buffer", address };
    return record.state === "archived" ? { type: "nowhere" } : undefined;
  }

  /** The last sequence that may be shown. */
  limit(state: SystemState): number {
    const record = state.topics.get(this.#segment.topic)?.segments.get(this.#name)?.record;
    return record?.sealed?.lastSequence ?? Number.POSITIVE_INFINITY;
  }

  isStill(source: Source): boolean {
    const now = this.source(this.#context.cache.state);
    if (now?.type === "buffer" && source.type === "buffer") return now.address === source.address;
    return now?.type === source.type;
  }

  /** Until the time has passed or there is another source. */
  async pause(source: Source, delayMs: number, signal: AbortSignal): Promise<void> {
    const { cache, runtime } = this.#context;
    const over = new AbortController();
    const end = (): void => over.abort();
    const cancel = runtime.clock.setTimer(delayMs, end);
    signal.addEventListener("abort", end, { once: true });
    try {
      await cache.until(() => (this.isStill(source) ? undefined : true), { signal: over.signal });
    } catch (error) {
      if (!over.signal.aborted) throw error;
    } finally {
      cancel();
      signal.removeEventListener("abort", end);
    }
    signal.throwIfAborted();
  }
}

/** One reading from one source, which ends when the source is no longer the right one: a server that hangs says nothing. */
class Attempt {
  readonly #context: ClientContext;
  readonly #source: Source;
  readonly #archiveName: string;
  readonly #over = new AbortController();
  readonly #detach: () => void;

  constructor(context: ClientContext, look: SourceFinder, source: Source, signal: AbortSignal) {
    this.#context = context;
    this.#source = source;
    this.#archiveName = look.archiveName;
    const unlisten = context.cache.listen(() => {
      if (context.cache.failure !== undefined || !look.isStill(source)) this.#over.abort(moved());
    });
    const onAbort = (): void => this.#over.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#detach = () => {
      unlisten();
      signal.removeEventListener("abort", onAbort);
    };
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  open(segment: SegmentId, fromSequence: number): AsyncIterable<FrameChunk> {
    const { signal } = this;
    const { archive, connections } = this.#context;
    if (this.#source.type === "buffer") {
      return connections.to(this.#source.address).read({ segment, fromSequence }, { signal });
    }
    if (this.#source.type === "archive" && archive) {
      const { lastSequence } = this.#source;
      return archive.read(this.#archiveName, { fromSequence, lastSequence, signal });
    }
    throw new TopicError("unavailable", `${formatSegmentId(segment)} is nowhere to be read`);
  }

  close(): void {
    this.#detach();
  }
}

function moved(): TopicError {
  return new TopicError("unavailable", "the segment is served by somebody else now");
}
