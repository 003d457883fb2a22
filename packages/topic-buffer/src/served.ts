import {
  type SegmentId,
  type SegmentName,
  type SegmentView,
  type StateCache,
  segmentName,
  type TopicName,
} from "@x/topic-gateway/protocol";
import { HotMemory } from "./hot-memory.js";
import { HotSegment } from "./hot-segment.js";
import type { NodeContext } from "./options.js";
import type { OpenSegment } from "./segment-opening.js";

/** A segment that this tenure serves, and what it knows of it beyond the state. */
export interface ServedSegment {
  readonly hot: HotSegment;
  /** A revision that shows this tenure as its server: older states don't count. */
  readonly knownFrom: bigint;
  /** Appends go on; nobody but the owner seals or ends it. */
  owned: boolean;
  /** It is to end in a while, for those who still read. */
  retiring: boolean;
}

/** The segments that a tenure serves, open and sealed, by topic. */
export class ServedSegments {
  readonly memory: HotMemory;
  readonly #node: NodeContext;
  readonly #leaseId: bigint;
  readonly #cache: StateCache;
  readonly #topics: Map<TopicName, Map<SegmentName, ServedSegment>> = new Map();

  constructor(node: NodeContext, leaseId: bigint, cache: StateCache) {
    this.#node = node;
    this.#leaseId = leaseId;
    this.#cache = cache;
    this.memory = new HotMemory(node.hotBytes);
  }

  /** For the owner of a segment that was just registered. */
  open(segment: OpenSegment, revision: bigint): ServedSegment {
    return this.#add(segment.id, segment.record.log, { knownFrom: revision, owned: true });
  }

  /** Also one that the state says is ours and sealed, though nobody has told us yet. */
  find(id: SegmentId): HotSegment | undefined {
    const name = segmentName(id);
    const known = this.#topics.get(id.topic)?.get(name);
    if (known) return known.hot;
    const view = this.#cache.state.topics.get(id.topic)?.segments.get(name);
    return view && this.isOurs(view) ? this.adopt(view)?.hot : undefined;
  }

  /** Whether the state names this tenure as the segment's server. */
  isOurs(view: SegmentView): boolean {
    return view.server !== undefined && view.server.lease === this.#leaseId;
  }

  /** Serves a sealed segment; undefined for one that is not sealed, or archived. */
  adopt(view: SegmentView): ServedSegment | undefined {
    const { record } = view;
    const known = this.#topics.get(view.id.topic)?.get(segmentName(view.id));
    if (record?.state !== "sealed" || !record.sealed) return known;
    const { lastSequence } = record.sealed;
    if (!known) {
      return this.#add(view.id, record.log, {
        knownFrom: this.#cache.state.revision,
        owned: false,
        lastSequence,
      });
    }
    if (!known.owned) known.hot.seal(lastSequence);
    return known;
  }

  #add(
    id: SegmentId,
    log: string,
    how: { readonly knownFrom: bigint; readonly owned: boolean; readonly lastSequence?: number },
  ): ServedSegment {
    const { logs, maxIndexedKeys } = this.#node;
    const { lastSequence, knownFrom, owned } = how;
    const options = { id, log, logs, memory: this.memory, maxIndexedKeys };
    const hot = new HotSegment(lastSequence === undefined ? options : { ...options, lastSequence });
    const served: ServedSegment = { hot, knownFrom, owned, retiring: false };
    let topic = this.#topics.get(id.topic);
    if (!topic) {
      topic = new Map();
      this.#topics.set(id.topic, topic);
    }
    topic.set(hot.name, served);
    return served;
  }

  /** All of a topic that the state says are ours and sealed, though nobody may have told us yet. */
  adoptOurs(topic: TopicName): void {
    for (const view of this.#cache.state.topics.get(topic)?.segments.values() ?? [])
      if (this.isOurs(view)) this.adopt(view);
  }

  ofTopic(topic: string): ServedSegment[] {
    // Only a key of the map, so the brand has nothing to protect here.
    return [...(this.#topics.get(topic as TopicName)?.values() ?? [])];
  }

  *all(): Generator<ServedSegment> {
    for (const topic of this.#topics.values()) yield* topic.values();
  }

  end({ hot }: ServedSegment): void {
    const topic = this.#topics.get(hot.topic);
    topic?.delete(hot.name);
    if (topic?.size === 0) this.#topics.delete(hot.topic);
    hot.end();
  }

  endAll(): void {
    for (const served of [...this.all()]) this.end(served);
  }
}
