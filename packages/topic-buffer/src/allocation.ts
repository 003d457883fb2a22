/**
 * Who should hold which range: pure, the same function in every buffer, of the same state. There is no leader: each buffer
 * claims what is free up to its own share and hands over what it holds beyond it, and transactions settle who was first.
 *
 * Shares differ by at most one range over the whole system. The larger shares go to those who hold most already, so that
 * nothing moves only because a different buffer could have been given the odd range.
 */
import { murmur3Mod } from "@x/space";
import {
  formatHashRange,
  type HashRange,
  rangesOfFactor,
  type SystemState,
  type TopicName,
} from "@x/topic-gateway/protocol";

/** A range that the layout of a topic asks for. */
export interface WantedRange {
  /** `{topic}/{from}-{to}`. */
  readonly key: string;
  readonly topic: TopicName;
  readonly range: HashRange;
  /** The id of the buffer that holds its lease; undefined: nobody; null: somebody who is no buffer that is there. */
  readonly holder: string | undefined | null;
  /** Of the lease, 0n without one. */
  readonly epoch: bigint;
}

export interface AllocationInput {
  readonly me: string;
  /** The ids of the buffers that want ranges. Without `me` in it everything is handed over. */
  readonly buffers: readonly string[];
  readonly wanted: readonly WantedRange[];
  /** Ranges that are being claimed right now: count as mine. */
  readonly claiming: ReadonlySet<string>;
  /** Ranges that must not be claimed now, because that failed a moment ago. */
  readonly avoid: ReadonlySet<string>;
  /** Ranges that nobody has held for longer than the grace, so that whoever sees it takes them, share or not. */
  readonly overdue: ReadonlySet<string>;
  /** Ranges that must not be handed over now, because nobody took them when they were. */
  readonly keep: ReadonlySet<string>;
}

export interface AllocationDecision {
  readonly claim: readonly WantedRange[];
  /** To be claimed beyond my share, and then kept for a while: whoever they are meant for did not take them. */
  readonly claimOverdue: readonly WantedRange[];
  readonly release: readonly WantedRange[];
}

export function rangeKey(topic: string, range: HashRange): string {
  return `${topic}/${formatHashRange(range)}`;
}

/** All ranges of all topics as they should be held, in an order that is the same for everybody. */
export function wantedRanges(state: SystemState): WantedRange[] {
  const byAddress = new Map<string, string>();
  for (const buffer of state.buffers.values()) byAddress.set(buffer.address, buffer.id);
  const wanted: WantedRange[] = [];
  for (const topic of state.topics.values()) {
    if (!topic.config) continue;
    for (const range of rangesOfFactor(topic.config.factor)) {
      const lease = topic.leases.get(formatHashRange(range));
      const holder = lease && (byAddress.get(lease.address ?? "") ?? null);
      wanted.push({
        key: rangeKey(topic.name, range),
        topic: topic.name,
        range,
        holder,
        epoch: lease?.epoch ?? 0n,
      });
    }
  }
  return wanted;
}

/** How many ranges each buffer should hold. */
export function shares(buffers: readonly string[], wanted: readonly WantedRange[]): Map<string, number> {
  const held = new Map(buffers.map((id) => [id, 0]));
  for (const { holder } of wanted) {
    const count = holder ? held.get(holder) : undefined;
    if (holder && count !== undefined) held.set(holder, count + 1);
  }
  const byHeld = [...held].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : a > b ? 1 : 0));
  const base = Math.floor(wanted.length / Math.max(1, buffers.length));
  const larger = wanted.length - base * buffers.length;
  return new Map(byHeld.map(([id], index) => [id, index < larger ? base + 1 : base]));
}

export function allocate(input: AllocationInput): AllocationDecision {
  const { me, buffers, wanted, claiming, avoid, overdue, keep } = input;
  const share = shares(buffers, wanted);
  const mine = wanted.filter(
    ({ key, holder }) => holder === me || (holder === undefined && claiming.has(key)),
  );
  const free = wanted.filter(({ key, holder }) => holder === undefined && !claiming.has(key));
  const candidates = buffers.includes(me)
    ? inMyOrder(
        me,
        free.filter(({ key }) => !avoid.has(key)),
      )
    : [];
  const room = Math.max(0, (share.get(me) ?? 0) - mine.length);
  return {
    claim: candidates.slice(0, room),
    claimOverdue: candidates.slice(room).filter(({ key }) => overdue.has(key)),
    release: chooseReleases(input, share, mine, free.length, keep),
  };
}

/** Each buffer goes through the free ranges in an order of its own, so that two seldom reach for the same one. */
function inMyOrder(me: string, ranges: readonly WantedRange[]): WantedRange[] {
  return ranges
    .map((range) => ({ range, order: murmur3Mod(`${me} ${range.key}`, 2 ** 31) }))
    .sort((a, b) => a.order - b.order)
    .map(({ range }) => range);
}

/** Only as much as others lack beyond what lies free already, from the topic of which I hold most, the youngest lease first. */
function chooseReleases(
  { me, buffers, wanted }: AllocationInput,
  share: ReadonlyMap<string, number>,
  mine: readonly WantedRange[],
  free: number,
  keep: ReadonlySet<string>,
): WantedRange[] {
  const held = mine.filter(({ holder }) => holder === me);
  if (!buffers.includes(me)) return held;
  // What is kept is beyond the share on purpose: nothing else goes in its place.
  const kept = held.filter(({ key }) => keep.has(key)).length;
  const over = mine.length - kept - (share.get(me) ?? 0);
  if (over <= 0) return [];
  const counts = new Map<string, number>();
  for (const { holder } of wanted) if (holder) counts.set(holder, (counts.get(holder) ?? 0) + 1);
  let lacking = -free;
  for (const id of buffers)
    if (id !== me) lacking += Math.max(0, (share.get(id) ?? 0) - (counts.get(id) ?? 0));

  const perTopic = new Map<TopicName, WantedRange[]>();
  for (const range of held) {
    if (keep.has(range.key)) continue;
    const list = perTopic.get(range.topic) ?? [];
    list.push(range);
    perTopic.set(range.topic, list);
  }
  for (const list of perTopic.values())
    list.sort((a, b) => (a.epoch < b.epoch ? -1 : a.epoch > b.epoch ? 1 : 0));
  const released: WantedRange[] = [];
  while (released.length < Math.min(over, lacking)) {
    let largest: WantedRange[] = [];
    for (const list of perTopic.values()) if (list.length > largest.length) largest = list;
    const next = largest.pop();
    if (!next) break;
    released.push(next);
  }
  return released;
}
