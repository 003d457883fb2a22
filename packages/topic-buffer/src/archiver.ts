import { murmur3Mod } from "@x/space";
import {
  archiveName,
  encodeSegment,
  type FrameChunk,
  formatSegmentId,
  type SegmentId,
  type SegmentRecord,
  type SegmentView,
  segmentKey,
  segmentName,
  serverKey,
  sleep,
  TopicError,
} from "@x/topic-gateway/protocol";
import { adoptSegment } from "./sealing.js";
import type { ServedSegment } from "./served.js";
import { backoffMs, settleTxn } from "./settle.js";
import { catchUp, type Tenure } from "./tenure.js";

interface Job {
  readonly id: SegmentId;
  readonly record: SegmentRecord;
  readonly modRevision: bigint;
}

/**
 * Looks after sealed segments: adopts those that nobody serves, copies them to the archive one at a time, says so in their
 * records, and lets go of their logs when those who were reading had time to leave.
 */
export class Archiver {
  readonly #tenure: Tenure;
  /** Since when a sealed segment has had no server, by its full name. */
  readonly #orphans: Map<string, number> = new Map();
  readonly #adopting: Set<string> = new Set();
  readonly #attempts: Map<string, { readonly count: number; readonly notBefore: number }> = new Map();
  #jobs: Job[] = [];
  #working: Promise<void> | undefined;
  #swept = false;

  constructor(tenure: Tenure) {
    this.#tenure = tenure;
  }

  /** Looks at all segments of the state. To be called again and again. */
  review(): void {
    const { cache, served, node } = this.#tenure;
    const now = node.clock.monotonicMs();
    const jobs: Job[] = [];
    const leftovers: string[] = [];
    const orphans = new Set<string>();
    for (const topic of cache.state.topics.values()) {
      for (const view of topic.segments.values()) {
        const { record, id, modRevision } = view;
        if (!record || !node.logs.owns(record.log)) continue;
        if (record.state === "archived" && !this.#swept) leftovers.push(record.log);
        if (record.state !== "sealed") continue;
        if (served.isOurs(view)) {
          served.adopt(view);
          jobs.push({ id, record, modRevision });
        } else if (!view.server) {
          orphans.add(formatSegmentId(id));
          this.#considerOrphan(view, now);
        }
      }
    }
    for (const name of this.#orphans.keys()) if (!orphans.has(name)) this.#orphans.delete(name);
    this.#retireOthers();
    this.#jobs = jobs.sort((a, b) =>
      a.id.startTime < b.id.startTime ? -1 : a.id.startTime > b.id.startTime ? 1 : 0,
    );
    this.#work();
    if (!this.#swept) {
      this.#swept = true;
      if (leftovers.length > 0) void this.#sweep(leftovers).catch(() => {});
    }
  }

  /** Resolves when nothing is under way. Ends only after the tenure's signal. */
  async settled(): Promise<void> {
    await this.#working;
  }

  /** One buffer is the first to adopt a segment, the same in the eyes of all; the others wait whether it does. */
  #considerOrphan(view: SegmentView, now: number): void {
    const { cache, node } = this.#tenure;
    const name = formatSegmentId(view.id);
    const since = this.#orphans.get(name) ?? now;
    this.#orphans.set(name, since);
    let first: { readonly id: string; readonly order: number } | undefined;
    for (const id of cache.state.buffers.keys()) {
      const order = murmur3Mod(`${id} ${name}`, 2 ** 31);
      if (!first || order < first.order) first = { id, order };
    }
    if (first?.id !== node.id && now - since < node.graceMs * (1 + node.random.number())) return;
    if (this.#adopting.has(name)) return;
    this.#adopting.add(name);
    void adoptSegment(this.#tenure, view)
      .then((revision) => catchUp(this.#tenure, revision))
      .catch(() => {})
      .finally(() => this.#adopting.delete(name));
  }

  /** Segments of which the state says that they are no longer ours. */
  #retireOthers(): void {
    const { cache, served, node } = this.#tenure;
    const { state } = cache;
    for (const one of served.all()) {
      if (one.owned || one.retiring || state.revision < one.knownFrom) continue;
      const view = state.topics.get(one.hot.topic)?.segments.get(one.hot.name);
      if (view && served.isOurs(view)) continue;
      this.#retire(
        one,
        view?.record?.state === "archived" ? node.readersGraceMs : Math.min(1_000, node.readersGraceMs),
      );
    }
  }

  #retire(one: ServedSegment, graceMs: number): void {
    one.retiring = true;
    const { served, node } = this.#tenure;
    node.clock.setTimer(graceMs, () => served.end(one));
  }

  /** Of segments that were archived before this tenure: their archiver may have died before it let go of the logs. */
  async #sweep(logs: readonly string[]): Promise<void> {
    const { node, signal } = this.#tenure;
    await sleep(node.clock, 2 * node.readersGraceMs, signal);
    for (const log of logs) {
      if (signal.aborted) return;
      await node.logs.drop(log).catch(() => {});
    }
  }

  #work(): void {
    this.#working ??= this.#workOff()
      .catch(() => {})
      .finally(() => {
        this.#working = undefined;
      });
  }

  async #workOff(): Promise<void> {
    const { signal, node } = this.#tenure;
    for (;;) {
      const now = node.clock.monotonicMs();
      const job = this.#jobs.find(
        ({ id }) => (this.#attempts.get(formatSegmentId(id))?.notBefore ?? 0) <= now,
      );
      if (!job || signal.aborted) return;
      this.#jobs.splice(this.#jobs.indexOf(job), 1);
      const name = formatSegmentId(job.id);
      try {
        await this.#archive(job);
        this.#attempts.delete(name);
      } catch (cause) {
        if (signal.aborted) return;
        const count = (this.#attempts.get(name)?.count ?? 0) + 1;
        const retryAfterMs = backoffMs(node, count, 500, 60_000);
        this.#attempts.set(name, { count, notBefore: node.clock.monotonicMs() + retryAfterMs });
        node.emit({ type: "archive-failed", segment: job.id, cause, retryAfterMs });
        if (cause instanceof TopicError && (cause.code === "corrupt" || cause.code === "log-missing")) {
          node.emit({
            type: "alarm",
            message: "a sealed segment can't be read for the archive",
            segment: job.id,
            cause,
          });
        }
      }
    }
  }

  async #archive({ id, record, modRevision }: Job): Promise<void> {
    const tenure = this.#tenure;
    const { node, signal } = tenure;
    const lastSequence = record.sealed?.lastSequence ?? 0;
    const chunks = lastSequence > 0 ? node.logs.read(record.log, { lastSequence, signal }) : nothing();
    await node.archive.put(archiveName(id, record.incarnation), chunks, { lastSequence, signal });
    const { succeeded, repeated, revision } = await settleTxn(
      node.coord,
      {
        compare: [{ key: segmentKey(id), target: "mod", op: "=", value: modRevision }],
        then: [
          { type: "put", key: segmentKey(id), value: encodeSegment(id, { ...record, state: "archived" }) },
          { type: "delete", key: serverKey(id) },
        ],
      },
      tenure,
    );
    await catchUp(tenure, revision);
    const view = tenure.cache.state.topics.get(id.topic)?.segments.get(segmentName(id));
    if (!succeeded && !(repeated && view?.record?.state === "archived")) return;
    node.emit({ type: "archived", segment: id });
    this.#retireOthers();
    // The record says so, and whoever reads the log now has some time to end.
    node.clock.setTimer(node.readersGraceMs, () => {
      if (!signal.aborted) void node.logs.drop(record.log).catch(() => {});
    });
  }
}

async function* nothing(): AsyncGenerator<FrameChunk> {}
