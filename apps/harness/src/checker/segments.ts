/** Invariants 3, 4, 5 and 6: what the records of segments promise of each other and of their logs. */
import { rangesOverlap } from "@x/topic-gateway/protocol";
import type { History, LoggedMessage } from "./history.js";
import { leaseName, type SegmentLife, spanAt, type Timeline, valueAt } from "./timeline.js";
import type { Violation } from "./violation.js";

const STATES = ["open", "sealed", "archived", "deleted"];

/** Of overlapping segments, the earlier's seal revision <= the later's create revision. */
export function* checkOverlaps(timeline: Timeline): Generator<Violation> {
  const segments = [...timeline.segments.values()];
  for (const [index, later] of segments.entries()) {
    for (const earlier of segments.slice(0, index)) {
      if (earlier.topic !== later.topic || earlier.first.incarnation !== later.first.incarnation) continue;
      if (!rangesOverlap(earlier.id.range, later.id.range)) continue;
      if (earlier.seal && earlier.seal.revision <= later.createRevision) continue;
      const what = earlier.seal ? `was sealed only at ${earlier.seal.revision}` : "was never sealed";
      yield {
        invariant: 3,
        message: `${later.name} was created at revision ${later.createRevision} over ${earlier.name}, which ${what}`,
        evidence: { earlier: brief(earlier), later: brief(later) },
      };
    }
  }
}

/** A seal record never changes. */
export function* checkRecords(timeline: Timeline): Generator<Violation> {
  for (const { topic, name } of timeline.recreated) {
    yield { invariant: 4, message: `the record of ${name} was created again`, evidence: { topic, name } };
  }
  for (const segment of timeline.segments.values()) {
    let before = segment.first;
    for (const { revision, value } of segment.versions) {
      if (!value) continue;
      const isSame =
        before.log === value.log &&
        before.epoch === value.epoch &&
        before.layout === value.layout &&
        before.incarnation === value.incarnation &&
        before.predecessors.join() === value.predecessors.join() &&
        STATES.indexOf(before.state) <= STATES.indexOf(value.state) &&
        (!before.sealed ||
          (before.sealed.end === value.sealed?.end &&
            before.sealed.lastSequence === value.sealed.lastSequence &&
            before.sealed.lastTime === value.sealed.lastTime));
      if (!isSame) {
        yield {
          invariant: 4,
          message: `the record of ${segment.name} was changed at revision ${revision}`,
          evidence: { before, after: value },
        };
      }
      before = value;
    }
  }
}

/** One epoch per log; the epoch is that of the range's lease at the time. */
export function* checkEpochs(timeline: Timeline): Generator<Violation> {
  const owners = new Map<string, SegmentLife>();
  for (const segment of timeline.segments.values()) {
    const { log, epoch } = segment.first;
    const other = owners.get(log);
    if (other) {
      yield {
        invariant: 5,
        message: `${other.name} and ${segment.name} share the log ${log}`,
        evidence: { one: brief(other), other: brief(segment) },
      };
    }
    owners.set(log, segment);
    const lease = spanAt(
      timeline.rangeLeases.get(leaseName(segment.topic, segment.id.range)),
      segment.createRevision,
    );
    if (lease?.createRevision !== epoch) {
      yield {
        invariant: 5,
        message: `${segment.name} was opened in the epoch ${epoch} at revision ${segment.createRevision}, when ${lease ? `the epoch was ${lease.createRevision}` : "nobody held its range"}`,
        evidence: { segment: brief(segment), lease },
      };
    }
  }
}

/** Sequences are dense, id times grow along a lineage. */
export function* checkSequences(timeline: Timeline, history: History): Generator<Violation> {
  const contents = new Map(history.contents.map((one) => [`${one.topic}/${one.segment}`, one.messages]));
  for (const [key, segment] of timeline.segments) {
    const messages = contents.get(key);
    if (messages && !segment.isDeleted) yield* checkContent(segment, messages);
    for (const name of segment.first.predecessors) {
      const before = timeline.segments.get(`${segment.topic}/${name}`);
      const lastTime = valueAt(before?.versions, segment.createRevision)?.sealed?.lastTime;
      if (!before || lastTime === undefined || lastTime < segment.id.startTime) continue;
      yield {
        invariant: 6,
        message: `${segment.name} starts before the last message of its predecessor ${name}, at ${lastTime}`,
        evidence: { segment: brief(segment), predecessor: brief(before) },
      };
    }
  }
}

function* checkContent(segment: SegmentLife, messages: readonly LoggedMessage[]): Generator<Violation> {
  const { name, seal } = segment;
  let sequence = 0;
  let time = segment.id.startTime - 1n;
  for (const message of messages) {
    if (message.sequence !== sequence + 1) {
      yield {
        invariant: 6,
        message: `in ${name} the sequence ${message.sequence} follows ${sequence}`,
        evidence: message,
      };
    }
    if (message.time <= time) {
      yield {
        invariant: 6,
        message: `in ${name} the id time ${message.time} of sequence ${message.sequence} follows ${time}`,
        evidence: message,
      };
    }
    sequence = message.sequence;
    time = message.time;
  }
  if (seal && seal.end.lastSequence !== sequence) {
    yield {
      invariant: 6,
      message: `${name} holds messages up to ${sequence}, its record says ${seal.end.lastSequence}`,
      evidence: brief(segment),
    };
  }
  if (seal && messages.length > 0 && seal.end.lastTime < time) {
    yield {
      invariant: 6,
      message: `${name} holds an id time of ${time}, its record says that the last one is ${seal.end.lastTime}`,
      evidence: brief(segment),
    };
  }
}

function brief({ topic, name, createRevision, seal, first }: SegmentLife): unknown {
  return { topic, name, createRevision, epoch: first.epoch, predecessors: first.predecessors, seal };
}
