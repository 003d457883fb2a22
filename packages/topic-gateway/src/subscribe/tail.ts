/**
 * Reading a topic as it grows, alone and without a trace: a subscription that exists in this process only. Nothing is recorded, so
 * nothing is resumed; order by key is kept as for any subscription.
 */
import type { ClientContext } from "../client/context.js";
import { TopicError } from "../errors.js";
import { parseTopicName, type SubscriptionName, type TopicName } from "../protocol/names.js";
import type { SubscriptionMode } from "../protocol/records.js";
import type { SegmentName } from "../protocol/segment-id.js";
import type { SubscriptionView } from "../topics/state.js";
import { findStart } from "./create-subscription.js";
import { progressOf, type SegmentProgress } from "./eligibility.js";
import { DeliveredMessage, type Message } from "./message.js";
import type { SegmentChunk } from "./segment-chunk.js";
import { readSegment } from "./segment-reader.js";

export interface TailOptions {
  /** "latest" (the default): what is published from now on. "earliest": everything that is stored, first. */
  readonly from?: SubscriptionMode;
  /** Called once, before the first message, when the start is known: whatever is acknowledged from then on is shown. */
  readonly onStart?: () => void;
  readonly signal?: AbortSignal;
}

/** A message of a tail: there is nothing to acknowledge. */
export type TailMessage = Omit<Message, "ack" | "acknowledge">;

const START_DEADLINE_MS = 10_000;

/** @throws TopicError "topic-not-found", "unavailable" (the start could not be found out), signal.reason */
export async function* tailTopic(
  context: ClientContext,
  name: string,
  { from = "latest", onStart, signal }: TailOptions = {},
): AsyncGenerator<TailMessage, void, undefined> {
  const topic = parseTopicName(name);
  const start = { deadlineMs: START_DEADLINE_MS, ...(signal && { signal }) };
  const tail = new Tail(context, topic, {
    name: "" as SubscriptionName,
    record: await findStart(context, topic, from, start),
    createRevision: 0n,
    modRevision: 0n,
    bookmarks: new Map(),
    leases: new Map(),
    consumers: new Map(),
  });
  const onAbort = (): void => tail.fail(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    signal?.throwIfAborted();
    onStart?.();
    for (;;) {
      for (const message of await tail.next()) {
        yield message;
        signal?.throwIfAborted();
      }
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    await tail.close();
  }
}

/** Readers of the segments that may be read now, each at most one chunk ahead of who takes them. */
class Tail {
  readonly #context: ClientContext;
  readonly #topic: TopicName;
  /** The subscription that nobody else knows of. */
  readonly #view: SubscriptionView;
  readonly #readers = new Map<SegmentName, Promise<void>>();
  readonly #ready: { readonly messages: Iterable<TailMessage>; readonly taken: () => void }[] = [];
  readonly #stop = new AbortController();
  readonly #unlisten: () => void;
  #wake: (() => void) | undefined;
  #failure: { readonly reason: unknown } | undefined;

  constructor(context: ClientContext, topic: TopicName, view: SubscriptionView) {
    this.#context = context;
    this.#topic = topic;
    this.#view = view;
    this.#unlisten = context.cache.listen(() => this.#startReaders());
    this.#startReaders();
  }

  async next(): Promise<Iterable<TailMessage>> {
    for (;;) {
      if (this.#failure) throw this.#failure.reason;
      const next = this.#ready.shift();
      if (next) {
        next.taken();
        return next.messages;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Nothing is read any more, also if nobody comes to take the failure. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#stopReaders();
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.#stopReaders();
    await Promise.allSettled([...this.#readers.values()]);
  }

  #stopReaders(): void {
    this.#unlisten();
    this.#stop.abort(new TopicError("closed", "the tail was closed"));
    for (const { taken } of this.#ready.splice(0)) taken();
  }

  #startReaders(): void {
    const { cache } = this.#context;
    if (this.#stop.signal.aborted) return;
    const topic = cache.state.topic(this.#topic);
    if (cache.failure !== undefined || !topic) {
      this.fail(
        cache.failure ?? new TopicError("topic-not-found", `there is no topic "${this.#topic}" any more`),
      );
      return;
    }
    for (const segment of progressOf(topic, this.#view, { eligibleOnly: true })) {
      if (this.#readers.has(segment.name)) continue;
      this.#readers.set(
        segment.name,
        this.#read(segment).catch((error) => this.fail(error)),
      );
    }
  }

  async #read(segment: SegmentProgress): Promise<void> {
    const { id, name, position, record } = segment;
    const options = { after: position, incarnation: record.incarnation, signal: this.#stop.signal };
    let last = position;
    for await (const chunk of readSegment(this.#context, id, options)) {
      last = chunk.lastSequence;
      await this.#hand(messagesOf(segment, chunk));
      if (this.#stop.signal.aborted) return;
    }
    const generation = this.#view.record?.generation ?? 1;
    this.#view.bookmarks.set(name, {
      record: { sequence: last, time: 0n, finished: true, generation },
      modRevision: 0n,
    });
    this.#readers.delete(name);
    this.#startReaders();
  }

  /** Resolves when somebody takes them: a slow reader of the tail slows the reading of segments. */
  #hand(messages: Iterable<TailMessage>): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stop.signal.aborted) return resolve();
      this.#ready.push({ messages, taken: resolve });
      this.#wake?.();
    });
  }
}

function* messagesOf({ id, name }: SegmentProgress, chunk: SegmentChunk): Generator<TailMessage> {
  const nothing = (): Promise<void> => Promise.resolve();
  const origin = { id, name, session: "", lease: "", acknowledge: nothing };
  for (let sequence = chunk.firstSequence; sequence <= chunk.lastSequence; sequence++) {
    yield new DeliveredMessage(origin, chunk, sequence);
  }
}
