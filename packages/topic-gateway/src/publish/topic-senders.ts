import { evenPartitions, hash16, type PartitionedRange } from "@x/space";
import type { ClientContext } from "../client/context.js";
import { TopicError } from "../errors.js";
import { formatHashRange, HASHES } from "../protocol/hash-range.js";
import type { TopicName } from "../protocol/names.js";
import type { BufferStreams } from "./buffer-streams.js";
import { FailedCalls } from "./failed-calls.js";
import type { Outgoing, PublishCall } from "./outgoing.js";
import { RangeSender, type SenderOptions } from "./range-sender.js";

/**
 * While nothing is sent or answered, this is how long a message outlives one of its key that failed in front of it: looking for them
 * means looking through all that is on its way, which is done once for all calls that fail together.
 */
const FOLLOWERS_WAIT_MS = 10;

/** The senders of one topic: one for each range of its present layout, and those of earlier ones until they are quiet. */
export class TopicSenders {
  readonly #name: TopicName;
  readonly #context: ClientContext;
  readonly #streams: BufferStreams;
  readonly #options: SenderOptions;
  #layout = -1n;
  #partitions: PartitionedRange<number> = evenPartitions(hash16, 1);
  #senders: (RangeSender | undefined)[] = [];
  #retired: RangeSender[] = [];
  /** While earlier senders are not quiet, everything new waits: it must not overtake what they have on its way. */
  #held: Outgoing[] = [];
  #lastOrder = 0;
  readonly #failed = new FailedCalls();
  #cancelFollowers: (() => void) | undefined;

  constructor(
    name: TopicName,
    context: ClientContext,
    streams: BufferStreams,
    options: Omit<SenderOptions, "onQuiet" | "failFollowers">,
  ) {
    this.#name = name;
    this.#context = context;
    this.#streams = streams;
    this.#options = {
      ...options,
      onQuiet: () => this.#resume(),
      failFollowers: () => this.#failFollowers(),
    };
    this.#adopt();
  }

  enqueue(message: Outgoing): void {
    this.#lastOrder = message.order;
    if (this.#retired.length > 0) this.#held.push(message);
    else this.#senderOf(message.hash).enqueue(message);
  }

  onStateChange(): void {
    const config = this.#context.cache.state.topic(this.#name)?.config;
    if (!config) {
      const gone = new TopicError("topic-not-found", `the topic "${this.#name}" is gone`);
      this.failAll(gone);
      return;
    }
    if (config.layout !== this.#layout) this.#adopt();
    for (const sender of this.#senders) sender?.onStateChange();
  }

  /** For a call that had messages here: whoever stands behind one of them has to fail too. */
  callFailed(call: PublishCall, reason: unknown): void {
    this.#failed.add(call, { lastOrder: this.#lastOrder, reason });
    this.#cancelFollowers ??= this.#options.clock.setTimer(FOLLOWERS_WAIT_MS, () => this.#failFollowers());
  }

  failAll(reason: unknown): void {
    for (const sender of [...this.#senders, ...this.#retired]) sender?.failAll(reason);
    for (const message of this.#held) message.call.fail(reason);
    this.#held = [];
    this.#retired = [];
    this.#failed.clear();
    this.#cancelFollowers?.();
    this.#cancelFollowers = undefined;
  }

  #failFollowers(): void {
    if (this.#failed.isEmpty) return;
    const senders = [...this.#retired, ...this.#senders];
    // Those that fail have followers in turn, also in other ranges.
    while (!this.#failed.isEmpty) {
      const visit = this.#failed.take();
      for (const sender of senders) sender?.forEach(visit);
      this.#held.forEach(visit);
    }
    for (const sender of senders) sender?.dropSettled();
    this.#held = this.#held.filter(({ call }) => !call.settled);
    this.#cancelFollowers?.();
    this.#cancelFollowers = undefined;
  }

  #adopt(): void {
    const config = this.#context.cache.state.topic(this.#name)?.config;
    if (!config) return;
    for (const sender of this.#senders) {
      if (!sender) continue;
      if (sender.idle) {
        sender.end();
        continue;
      }
      sender.retire();
      this.#retired.push(sender);
    }
    this.#layout = config.layout;
    const count = HASHES / 2 ** config.factor;
    this.#partitions = evenPartitions(hash16, count);
    this.#senders = new Array(count).fill(undefined);
    this.#resume();
  }

  #resume(): void {
    if (this.#retired.some((sender) => !sender.quiet)) return;
    this.#failFollowers();
    const waiting = [...this.#retired.flatMap((sender) => sender.takeUnsent()), ...this.#held];
    this.#retired = [];
    this.#held = [];
    waiting.sort((a, b) => a.order - b.order);
    for (const message of waiting) this.#senderOf(message.hash).enqueue(message);
  }

  #senderOf(hash: number): RangeSender {
    const index = this.#partitions.find(hash);
    let sender = this.#senders[index];
    if (!sender) {
      const size = HASHES / this.#partitions.length;
      const range = { from: index * size, to: (index + 1) * size };
      const name = formatHashRange(range);
      const owner = () => this.#context.cache.state.topics.get(this.#name)?.leases.get(name);
      sender = new RangeSender(this.#name, range, owner, this.#streams, this.#options);
      this.#senders[index] = sender;
    }
    return sender;
  }
}
