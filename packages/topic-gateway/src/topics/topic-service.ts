import type { Coord } from "@x/coord";
import { Life } from "../client/life.js";
import { TopicError } from "../errors.js";
import {
  checkRangeSizeFactor,
  formatHashRange,
  type HashRange,
  rangesOfFactor,
} from "../protocol/hash-range.js";
import { rangeSizeKey } from "../protocol/keys.js";
import { parseTopicName, type TopicName } from "../protocol/names.js";
import { encodeRangeSize } from "../protocol/records.js";
import type { Clock } from "../protocol/runtime.js";
import { systemRuntime } from "../system.js";
import { StateCache } from "./cache.js";
import type { TopicView } from "./state.js";

/** 8 ranges: enough to share among a handful of buffers, few enough to sync often. */
export const DEFAULT_RANGE_SIZE_FACTOR = 13;

export interface TopicRange {
  readonly range: HashRange;
  /** Where its buffer is; undefined while the range has no owner. */
  readonly buffer: string | undefined;
  /** Of the lease; undefined while the range has no owner. */
  readonly epoch: bigint | undefined;
}

/** A topic as it stood when it was asked for. */
export interface Topic {
  readonly name: TopicName;
  readonly rangeSizeFactor: number;
  /** Ascending, adjacent, covering all hashes. */
  readonly ranges: readonly TopicRange[];
}

/** The topics, as the coordination store holds them, kept current by its watch. */
export class TopicService implements AsyncDisposable {
  readonly #coord: Coord;
  readonly #cache: StateCache;
  readonly #life: Life;
  readonly #ownsCache: boolean;

  /** For a cache, and perhaps a life, that are others'; `open` makes its own. */
  constructor(
    coord: Coord,
    cache: StateCache,
    options: { readonly ownsCache?: boolean; readonly life?: Life } = {},
  ) {
    this.#coord = coord;
    this.#cache = cache;
    this.#life = options.life ?? new Life("the view of the topics");
    this.#ownsCache = options.ownsCache ?? false;
  }

  static async open(options: {
    readonly coord: Coord;
    /** Default: the process's clock. */
    readonly clock?: Clock;
    readonly signal?: AbortSignal;
  }): Promise<TopicService> {
    const { coord, clock = systemRuntime.clock, signal } = options;
    const cache = await StateCache.open(coord, { clock, ...(signal && { signal }) });
    return new TopicService(coord, cache, { ownsCache: true });
  }

  /**
   * Creates a topic whose hash ranges have 2^rangeSizeFactor hashes (default 13). On return `get` and `list` of this service know it.
   * @throws TopicError "invalid-topic-name", "invalid-range-size", "topic-exists", "closed"
   */
  async add(
    name: string,
    rangeSizeFactor: number = DEFAULT_RANGE_SIZE_FACTOR,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Topic> {
    const topic = parseTopicName(name);
    const key = rangeSizeKey(topic);
    const value = encodeRangeSize(checkRangeSizeFactor(rangeSizeFactor));
    return await this.#life.run(options.signal, async (signal) => {
      const result = await this.#coord.txn(
        { compare: [{ key, target: "create", op: "=", value: 0n }], then: [{ type: "put", key, value }] },
        { signal },
      );
      if (!result.succeeded) throw new TopicError("topic-exists", `the topic "${topic}" exists already`);
      await this.#cache.reach(result.revision, { signal });
      return this.get(topic);
    });
  }

  /** @throws TopicError "invalid-topic-name", "topic-not-found" */
  get(name: string): Topic {
    const topic = this.#cache.state.topic(parseTopicName(name));
    if (!topic) throw new TopicError("topic-not-found", `there is no topic "${name}"`);
    return describe(topic, topic.config.factor);
  }

  /** In the order of their names. */
  list(): Topic[] {
    const topics: Topic[] = [];
    for (const topic of this.#cache.state.topics.values()) {
      if (topic.config) topics.push(describe(topic, topic.config.factor));
    }
    return topics.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ownsCache) return;
    await this.#life.end();
    await this.#cache.close();
  }
}

function describe(topic: TopicView, factor: number): Topic {
  const ranges = rangesOfFactor(factor).map((range) => owned(topic, range));
  return { name: topic.name, rangeSizeFactor: factor, ranges };
}

function owned(topic: TopicView, range: HashRange): TopicRange {
  const lease = topic.leases.get(formatHashRange(range));
  return { range, buffer: lease?.address, epoch: lease?.epoch };
}
