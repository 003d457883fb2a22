import { CoordError, openSession, type Session } from "@x/coord";
import type { ClientContext } from "../client/context.js";
import { TopicError } from "../errors.js";
import type { MessageIdParts } from "../protocol/message-id.js";
import { sleep } from "../protocol/runtime.js";
import { parseAck } from "./ack-token.js";
import { Assignment, type AssignmentOptions } from "./assignment.js";
import { handled } from "./committer.js";
import type { Consumer, HeldSegmentStatus, PullOptions } from "./consumer.js";
import type { HeldSegment } from "./held-segment.js";
import type { DeliveredMessage, Message } from "./message.js";
import { segmentOfAck, segmentOfId } from "./named-segment.js";
import { Wakes } from "./wakes.js";

export interface SessionConsumerSettings extends Omit<AssignmentOptions, "context" | "session" | "on"> {
  readonly sessionTtlMs: number;
  readonly ackDeadlineMs: number;
  readonly among: Set<Consumer> | undefined;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;
const MAX_PAST_SESSIONS = 16;

/** Hands out messages in turns from what its session holds, and goes on with a new session when one is lost. */
export class SessionConsumer implements Consumer {
  readonly #context: ClientContext;
  readonly #settings: SessionConsumerSettings;
  readonly #wakes: Wakes;
  readonly #ending = new AbortController();
  readonly #pastSessions: string[] = [];
  #assignment: Assignment;
  #running: Promise<void> = Promise.resolve();
  #ended: Promise<void> | undefined;
  #failure: unknown;
  /** Those that have messages to take, and whose turn it is. */
  #listed: HeldSegment[] = [];
  #turn = 0;
  /** It has left its subscription because nobody pulls. */
  #silent = false;
  #pulling = 0;
  #progressMs: number;
  #cancelWatchdog: (() => void) | undefined;

  private constructor(context: ClientContext, settings: SessionConsumerSettings, session: Session) {
    this.#context = context;
    this.#settings = settings;
    this.#wakes = new Wakes(context.runtime.clock);
    this.#progressMs = context.runtime.clock.monotonicMs();
    this.#assignment = this.#assign(session);
  }

  static async open(
    context: ClientContext,
    settings: SessionConsumerSettings,
    signal: AbortSignal | undefined,
  ): Promise<SessionConsumer> {
    const session = await openSession(context.coord, {
      ttlMs: settings.sessionTtlMs,
      clock: context.runtime.clock,
      ...(signal && { signal }),
    });
    const consumer = new SessionConsumer(context, settings, session);
    const onAbort = (): void => void session.close();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      signal?.throwIfAborted();
      // Ends with the session, if nothing else ends it.
      await consumer.#assignment.join();
      signal?.throwIfAborted();
      consumer.#throwIfEnded();
    } catch (error) {
      await consumer.#end();
      throw signal?.aborted ? signal.reason : (consumer.#failure ?? error);
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
    // In one go with the last look whether it has ended, so that it is not left among those that are open.
    settings.among?.add(consumer);
    consumer.#running = consumer.#run();
    consumer.#watch();
    return consumer;
  }

  get session(): string {
    return this.#assignment.sessionId;
  }

  segments(): HeldSegmentStatus[] {
    return [...this.#assignment.held.values()].map(({ name, delivered, committed }) => ({
      segment: name,
      delivered,
      committed,
    }));
  }

  // --- delivering

  async pull({ maxMessages, maxBytes, waitMs, signal }: PullOptions): Promise<Message[]> {
    if (!(Number.isInteger(maxMessages) && maxMessages >= 1)) {
      throw wrong("maxMessages must be a whole number of at least 1", maxMessages);
    }
    if (maxBytes !== undefined && !(maxBytes >= 1)) throw wrong("maxBytes must be at least 1", maxBytes);
    if (!(waitMs >= 0)) throw wrong("waitMs must be at least 0", waitMs);
    signal?.throwIfAborted();
    this.#throwIfEnded();
    this.#progress();
    this.#comeBack();
    let messages = this.#takeSome(maxMessages, maxBytes);
    if (messages.length > 0 || waitMs === 0) return messages;

    const untilMs = this.#context.runtime.clock.monotonicMs() + waitMs;
    this.#pulling += 1;
    try {
      for (;;) {
        const isOver = await this.#wakes.wait(untilMs, signal);
        if (this.#failure !== undefined) throw this.#failure;
        messages = this.#takeSome(maxMessages, maxBytes);
        if (messages.length > 0 || isOver || this.#ended) return messages;
      }
    } finally {
      this.#pulling -= 1;
      this.#progress();
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<Message, undefined> {
    return {
      next: () => {
        const message = this.#ended || this.#silent ? undefined : this.#take();
        if (!message) return this.#nextLater();
        this.#progress();
        return Promise.resolve({ done: false, value: message });
      },
      return: () => Promise.resolve({ done: true, value: undefined }),
    };
  }

  async #nextLater(): Promise<IteratorResult<Message, undefined>> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#ended) return { done: true, value: undefined };
    const [value] = await this.pull({ maxMessages: 1, waitMs: Number.POSITIVE_INFINITY });
    return value ? { done: false, value } : { done: true, value: undefined };
  }

  #takeSome(maxMessages: number, maxBytes = Number.POSITIVE_INFINITY): Message[] {
    const messages: Message[] = [];
    let bytes = 0;
    while (messages.length < maxMessages && bytes < maxBytes) {
      const message = this.#take();
      if (!message) break;
      messages.push(message);
      bytes += message.bytes;
    }
    return messages;
  }

  /** One from each segment in turn. */
  #take(): DeliveredMessage | undefined {
    // The clock is asked each time: in a process that was stopped no timer has told yet that the session is over.
    if (this.#listed.length === 0 || this.#ended || !this.#assignment.session.isAlive()) return undefined;
    while (this.#listed.length > 0) {
      if (this.#turn >= this.#listed.length) this.#turn = 0;
      const held = this.#listed[this.#turn] as HeldSegment;
      const message = held.take();
      if (message) {
        this.#turn += 1;
        return message;
      }
      held.isListed = false;
      this.#listed.splice(this.#turn, 1);
    }
    return undefined;
  }

  #list(held: HeldSegment): void {
    if (!held.isListed) {
      held.isListed = true;
      this.#listed.push(held);
    }
    this.#wakes.wakeAll();
  }

  // --- acknowledging

  acknowledge(ack: string): Promise<void> {
    return this.acknowledgeAll([ack]);
  }

  acknowledgeAll(acks: readonly string[]): Promise<void> {
    const named: { readonly held: HeldSegment; readonly sequence: number }[] = [];
    let lost: Promise<never> | undefined;
    this.#progress();
    try {
      this.#throwIfEnded();
      for (const ack of acks) {
        const parts = parseAck(ack);
        try {
          const held = segmentOfAck(this.#assignment, this.#pastSessions, parts);
          named.push({ held, sequence: parts.sequence });
        } catch (error) {
          if (!(error instanceof TopicError && error.code === "lease-lost")) throw error;
          lost ??= handled(Promise.reject(error));
        }
      }
    } catch (error) {
      return handled(Promise.reject(error));
    }
    const commits = named.map(({ held, sequence }) => held.acknowledge(sequence));
    if (lost) commits.push(lost);
    return commits.length === 1 ? commits[0]! : handled(allOf(commits));
  }

  acknowledgeId(id: MessageIdParts): Promise<void> {
    this.#progress();
    try {
      this.#throwIfEnded();
      return segmentOfId(this.#assignment, this.#pastSessions, id).acknowledge(id.sequence);
    } catch (error) {
      return handled(Promise.reject(error));
    }
  }

  // --- sessions

  #assign(session: Session): Assignment {
    return new Assignment({
      ...this.#settings,
      context: this.#context,
      session,
      on: {
        messages: (held) => this.#list(held),
        acknowledged: () => this.#progress(),
        failed: (error) => this.#fail(error),
      },
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      await aborted(this.#assignment.session.signal);
      this.#assignment.drop();
      if (signal.aborted) return;
      // The store may still believe in it: without this its segments would wait until it does not.
      void this.#assignment.session.close();
      this.#pastSessions.push(this.session);
      if (this.#pastSessions.length > MAX_PAST_SESSIONS) this.#pastSessions.shift();
      await this.#openNext(signal);
    }
    await this.#assignment.close();
  }

  async #openNext(signal: AbortSignal): Promise<void> {
    const { coord, runtime } = this.#context;
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      let session: Session | undefined;
      try {
        session = await openSession(coord, {
          ttlMs: this.#settings.sessionTtlMs,
          clock: runtime.clock,
          signal,
        });
        this.#assignment = this.#assign(session);
        if (!this.#silent) await this.#assignment.join();
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (session) {
          this.#assignment.drop();
          await session.close();
        }
        if (!isPassing(error)) return this.#fail(error);
        await sleep(runtime.clock, pauseMs * (0.5 + runtime.random.number()), signal).catch(() => {});
      }
    }
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = error;
    void this.#end();
  }

  close(): Promise<void> {
    return this.#end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end();
  }

  #end(): Promise<void> {
    this.#ended ??= (async () => {
      this.#cancelWatchdog?.();
      this.#ending.abort(closed());
      this.#wakes.wakeAll();
      await this.#assignment.close();
      await this.#running;
      this.#settings.among?.delete(this);
    })();
    return this.#ended;
  }

  #throwIfEnded(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#ended) throw closed();
  }

  // --- silence

  #progress(): void {
    this.#progressMs = this.#context.runtime.clock.monotonicMs();
  }

  #watch(): void {
    const { ackDeadlineMs } = this.#settings;
    if (ackDeadlineMs === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#context.runtime;
    const leftMs = this.#pulling > 0 ? ackDeadlineMs : this.#progressMs + ackDeadlineMs - clock.monotonicMs();
    if (leftMs > 0) {
      this.#cancelWatchdog = clock.setTimer(leftMs, () => this.#watch());
      return;
    }
    this.#silent = true;
    // If its session is over meanwhile, it has left by that.
    this.#assignment.leave().catch(() => {});
  }

  #comeBack(): void {
    if (!this.#silent) return;
    this.#silent = false;
    this.#watch();
    // Without success the session is over, and the next one joins by itself; or there is nothing to join any more.
    this.#assignment.join().catch((error: unknown) => {
      if (!isPassing(error)) this.#fail(error);
    });
  }
}

/** Trying again with another session can help. */
function isPassing(error: unknown): boolean {
  return error instanceof CoordError && (error.code === "unavailable" || error.code === "lease-not-found");
}

/** Fails with the first that has failed, when all are over. */
async function allOf(commits: readonly Promise<void>[]): Promise<void> {
  for (const commit of await Promise.allSettled(commits))
    if (commit.status === "rejected") throw commit.reason;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function wrong(what: string, value: unknown): TopicError {
  return new TopicError("invalid-argument", `${what}, not ${String(value)}`);
}

function closed(): TopicError {
  return new TopicError("closed", "the consumer was closed");
}
