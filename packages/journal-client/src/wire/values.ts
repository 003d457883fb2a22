/** What messages are made of, from the wire and to it. Go's structs hold some of these by value: left out, they are empty, not absent. */
import type { Duration } from "../gen/google/protobuf/duration.js";
import type * as wire from "../gen/protocol/protocol.js";
import type { Fragment } from "../protocol/fragment.js";
import type { Header, ProcessId, Route } from "../protocol/header.js";
import type { FragmentSpec, JournalSpec } from "../protocol/journal-spec.js";
import type { Label, LabelSelector, LabelSet } from "../protocol/label.js";
import { type Place, refuse, within } from "../protocol/refusal.js";
import { MAX_DURATION_MS } from "../protocol/spec-rules.js";
import {
  codecFromWire,
  codecToWire,
  flagsFromWire,
  flagsToWire,
  levelFromWire,
  levelToWire,
} from "./enums.js";

const NANOS_OF_MS = 1_000_000;

/** Whole milliseconds; smaller parts are cut off. Absent is 0. @throws JournalError "invalid-response" when Go could not hold it */
export function durationFromWire(place: Place, duration: Duration | undefined): number {
  if (duration === undefined) return 0;
  const { seconds, nanos } = duration;
  const ms = Number(seconds) * 1000 + Math.trunc(nanos / NANOS_OF_MS);
  if (Math.abs(ms) > MAX_DURATION_MS || Math.abs(nanos) >= 1000 * NANOS_OF_MS) {
    refuse(
      place,
      `${seconds} s ${nanos} ns`,
      "it must be within 292 years, and its nanoseconds less than a second",
    );
  }
  return ms;
}

export function durationToWire(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * NANOS_OF_MS };
}

export function labelsFromWire(set: wire.LabelSet | undefined): LabelSet {
  return set === undefined ? [] : set.labels.map(labelFromWire);
}

function labelFromWire({ name, value, prefix }: wire.Label): Label {
  return prefix ? { name, value, prefix } : { name, value };
}

export function labelsToWire(labels: LabelSet): wire.LabelSet {
  return { labels: labels.map(({ name, value, prefix = false }) => ({ name, value, prefix })) };
}

export function selectorToWire({ include, exclude }: LabelSelector): wire.LabelSelector {
  return { include: labelsToWire(include), exclude: labelsToWire(exclude) };
}

function processIdFromWire(id: wire.ProcessSpec_ID | undefined): ProcessId {
  return { zone: id?.zone ?? "", suffix: id?.suffix ?? "" };
}

function processIdToWire({ zone, suffix }: ProcessId): wire.ProcessSpec_ID {
  return { zone, suffix };
}

/** Absent, it is Go's empty route: a primary 0 of no members, which is refused by the rules. */
export function routeFromWire(route: wire.Route | undefined): Route {
  if (route === undefined) return { members: [], primary: 0, endpoints: [] };
  return {
    members: route.members.map(processIdFromWire),
    primary: route.primary,
    endpoints: route.endpoints,
  };
}

export function routeToWire({ members, primary, endpoints }: Route): wire.Route {
  return { members: members.map(processIdToWire), primary, endpoints: [...endpoints] };
}

/** Absent, it is Go's empty header, which is refused by the rules. */
export function headerFromWire(header: wire.Header | undefined): Header {
  const etcd = header?.etcd;
  return {
    processId: processIdFromWire(header?.processId),
    route: routeFromWire(header?.route),
    etcd: {
      clusterId: etcd?.clusterId ?? 0n,
      memberId: etcd?.memberId ?? 0n,
      revision: etcd?.revision ?? 0n,
      raftTerm: etcd?.raftTerm ?? 0n,
    },
  };
}

export function headerToWire({ processId, route, etcd }: Header): wire.Header {
  const { clusterId, memberId, revision, raftTerm } = etcd;
  return {
    processId: processIdToWire(processId),
    route: routeToWire(route),
    etcd: { clusterId, memberId, revision, raftTerm },
  };
}

export function fragmentFromWire(place: Place, fragment: wire.Fragment | undefined): Fragment {
  if (fragment === undefined) refuse(place, undefined, "it must be there");
  const { journal, begin, end, backingStore, modTime, pathPostfix } = fragment;
  return {
    journal,
    begin,
    end,
    sum: sumFromWire(fragment.sum),
    compressionCodec: codecFromWire(within(place, "compressionCodec"), fragment.compressionCodec),
    backingStore,
    modTime,
    pathPostfix,
  };
}

/** The digest's 20 bytes travel as three big-endian numbers. */
function sumFromWire(sum: wire.SHA1Sum | undefined): Uint8Array {
  const bytes = new Uint8Array(20);
  if (sum === undefined) return bytes;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, sum.part1);
  view.setBigUint64(8, sum.part2);
  view.setUint32(16, sum.part3);
  return bytes;
}

export function specFromWire(place: Place, spec: wire.JournalSpec | undefined): JournalSpec {
  if (spec === undefined) refuse(place, undefined, "it must be there");
  const { name, replication, maxAppendRate, suspend } = spec;
  return {
    name,
    replication,
    labels: labelsFromWire(spec.labels),
    fragment: fragmentSpecFromWire(within(place, "fragment"), spec.fragment),
    flags: flagsFromWire(within(place, "flags"), spec.flags),
    maxAppendRate,
    ...(suspend !== undefined && {
      suspend: {
        level: levelFromWire(within(within(place, "suspend"), "level"), suspend.level),
        offset: suspend.offset,
      },
    }),
  };
}

export function specToWire(spec: JournalSpec): wire.JournalSpec {
  const { name, replication, maxAppendRate, suspend } = spec;
  return {
    name,
    replication,
    labels: labelsToWire(spec.labels),
    fragment: fragmentSpecToWire(spec.fragment),
    flags: flagsToWire(spec.flags),
    maxAppendRate,
    suspend: suspend && { level: levelToWire(suspend.level), offset: suspend.offset },
  };
}

function fragmentSpecFromWire(place: Place, fragment: wire.JournalSpec_Fragment | undefined): FragmentSpec {
  if (fragment === undefined) refuse(place, undefined, "it must be there");
  const { length, stores, pathPostfixTemplate } = fragment;
  return {
    length,
    compressionCodec: codecFromWire(within(place, "compressionCodec"), fragment.compressionCodec),
    stores,
    refreshIntervalMs: durationFromWire(within(place, "refreshInterval"), fragment.refreshInterval),
    retentionMs: durationFromWire(within(place, "retention"), fragment.retention),
    flushIntervalMs: durationFromWire(within(place, "flushInterval"), fragment.flushInterval),
    pathPostfixTemplate,
  };
}

function fragmentSpecToWire(fragment: FragmentSpec): wire.JournalSpec_Fragment {
  const { length, compressionCodec, stores, pathPostfixTemplate } = fragment;
  return {
    length,
    compressionCodec: codecToWire(compressionCodec),
    stores: [...stores],
    refreshInterval: durationToWire(fragment.refreshIntervalMs),
    retention: durationToWire(fragment.retentionMs),
    flushInterval: durationToWire(fragment.flushIntervalMs),
    pathPostfixTemplate,
  };
}
