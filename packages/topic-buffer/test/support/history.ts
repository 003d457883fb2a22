import {
  decodeBody,
  decodeSegment,
  messagesInFrames,
  parseKey,
  prefixes,
  rangesOverlap,
  type SegmentId,
  type SegmentRecord,
  segmentName,
} from "@x/topic-gateway/protocol";
import { MemoryLogs } from "./memory-logs.js";
import type { World } from "./world.js";

interface Told {
  readonly id: SegmentId;
  readonly created: bigint;
  record: SegmentRecord;
  sealedAt: bigint | undefined;
}

/** Everything that was ever written into segments' records, in the order of revisions, and what must hold of it. */
export class History {
  readonly #world: World;
  readonly #segments: Map<string, Told> = new Map();
  readonly faults: string[] = [];
  readonly #stop: AbortController = new AbortController();
  readonly #running: Promise<void>;

  constructor(world: World) {
    this.#world = world;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    try {
      for await (const batch of this.#world.coord.watch(
        { prefix: prefixes.segments },
        { fromRevision: 1n, signal: this.#stop.signal },
      )) {
        for (const event of batch.events) {
          if (event.type !== "put") continue;
          const parsed = parseKey(event.kv.key);
          if (parsed?.kind !== "segment") continue;
          const record = decodeSegment(event.kv.value);
          const known = this.#segments.get(event.kv.key);
          const sealed = record.state !== "open";
          if (!known) {
            if (sealed) this.faults.push(`${event.kv.key} was never open`);
            this.#segments.set(event.kv.key, {
              id: parsed.segment,
              created: batch.revision,
              record,
              sealedAt: undefined,
            });
            continue;
          }
          if (
            known.sealedAt !== undefined &&
            JSON.stringify(text(known.record.sealed)) !== JSON.stringify(text(record.sealed))
          )
            this.faults.push(`the end of ${event.kv.key} changed`);
          if (sealed) known.sealedAt ??= batch.revision;
          known.record = record;
        }
      }
    } catch {
      // Stopped.
    }
  }

  /** Stops watching, and looks at it all. `acked`: data by id time. Gives the data of each lineage in order. */
  async check(acked: ReadonlyMap<bigint, string>): Promise<string[]> {
    this.#stop.abort();
    await this.#running;
    const logs = new MemoryLogs(this.#world.disk);
    const all = [...this.#segments.values()].sort((a, b) => (a.created < b.created ? -1 : 1));
    const byTime = new Map<bigint, string>();
    const order: string[] = [];
    for (const one of all) {
      const name = segmentName(one.id);
      for (const before of all) {
        if (before === one || before.created > one.created || !rangesOverlap(before.id.range, one.id.range))
          continue;
        if (before.sealedAt === undefined || before.sealedAt > one.created)
          this.faults.push(`${name} was created before ${segmentName(before.id)} was sealed`);
        if (!this.#isAncestor(segmentName(before.id), one))
          this.faults.push(`${segmentName(before.id)} is not before ${name}`);
        const last = before.record.sealed?.lastTime ?? 0n;
        if (one.id.startTime <= last)
          this.faults.push(`${name} starts before the end of ${segmentName(before.id)}`);
      }
      const { record } = one;
      const lastSequence = record.sealed?.lastSequence ?? Number.MAX_SAFE_INTEGER;
      const source =
        record.state === "archived"
          ? this.#world.archive.read(`${one.id.topic}/${record.incarnation}/${name}`, { lastSequence })
          : logs.read(record.log, { lastSequence });
      let sequence = 0;
      let time = one.id.startTime - 1n;
      for await (const chunk of source) {
        for (const frame of messagesInFrames(chunk.frames)) {
          sequence += 1;
          if (frame.sequence !== sequence)
            this.faults.push(`${name} has ${frame.sequence} where ${sequence} should be`);
          if (frame.time <= time) this.faults.push(`times in ${name} do not rise at ${sequence}`);
          time = frame.time;
          const data = Buffer.from(decodeBody(frame.body).data).toString();
          byTime.set(frame.time, data);
          order.push(data);
        }
      }
      if (record.sealed && record.sealed.lastSequence !== sequence)
        this.faults.push(`${name} has ${sequence} of ${record.sealed.lastSequence} messages`);
    }
    for (const [time, data] of acked) {
      if (byTime.get(time) !== data) this.faults.push(`the acknowledged message ${data} is not at ${time}`);
    }
    if (this.faults.length > 0) throw new Error(this.faults.join("\n"));
    return order;
  }

  #isAncestor(name: string, of: Told): boolean {
    return of.record.predecessors.some((before) => {
      if (before === name) return true;
      const next = [...this.#segments.values()].find(
        ({ id }) => segmentName(id) === before && id.topic === of.id.topic,
      );
      return next !== undefined && this.#isAncestor(name, next);
    });
  }
}

function text(value: object | undefined): unknown {
  return value && Object.fromEntries(Object.entries(value).map(([name, field]) => [name, String(field)]));
}

/** Each message's first occurrence comes in the order in which they were sent. */
export function firstOccurrences(order: readonly string[]): string[] {
  return [...new Set(order)];
}
