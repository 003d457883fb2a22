/** The rules of Gazette for the specifications of journals (journal_spec_extensions.go). */
import { checkCodecAt } from "./fragment-name.js";
import { checkJournalNameAt } from "./journal-name.js";
import type { FragmentSpec, JournalFlag, JournalSpec, Suspension } from "./journal-spec.js";
import type { LabelSet } from "./label.js";
import { checkLabelsAt, labelValue, labelValues } from "./label-set.js";
import { isMediaType } from "./media-type.js";
import {
  argument,
  checkArray,
  checkInt64,
  checkInteger,
  checkObject,
  checkString,
  type Place,
  refuse,
  within,
} from "./refusal.js";
import { checkFragmentStoreAt, isFileStore } from "./url-rules.js";

const MAX_REPLICATION = 5;
const MIN_LENGTH = 1n << 10n;
const MAX_LENGTH = 1n << 34n;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Brokers count nanoseconds in an int64. */
export const MAX_DURATION_MS = 9_223_372_036_854;

/** Labels of which Gazette allows one value (labels/labels.go). */
const SINGLE_VALUE: readonly string[] = [
  "content-type",
  "app.gazette.dev/instance",
  "app.gazette.dev/managed-by",
  "app.gazette.dev/message-subtype",
  "app.gazette.dev/message-type",
  "app.gazette.dev/region",
];

const FLAGS: readonly JournalFlag[] = ["O_RDONLY", "O_WRONLY", "O_RDWR"];
const LEVELS: readonly Suspension["level"][] = ["NONE", "PARTIAL", "FULL"];

/**
 * Checks a specification as brokers do before they apply it. What only a broker can tell is left to it: whether `pathPostfixTemplate`
 * is a template of Go.
 * @throws JournalError "invalid-argument"
 */
export function checkJournalSpec(spec: JournalSpec): void {
  checkJournalSpecAt(argument("JournalSpec"), spec);
}

export function checkJournalSpecAt(place: Place, spec: JournalSpec): void {
  checkObject(place, spec);
  checkJournalNameAt(within(place, "name"), spec.name, "refused");
  checkInteger(within(place, "replication"), spec.replication, 1, MAX_REPLICATION);
  checkLabelsAt(within(place, "labels"), spec.labels);
  checkLabelRules(within(place, "labels"), spec.labels);
  checkFragmentSpec(within(place, "fragment"), spec.fragment);
  checkFlags(within(place, "flags"), spec.flags);
  checkInt64(within(place, "maxAppendRate"), spec.maxAppendRate, 0n);
  if (spec.suspend !== undefined) checkSuspension(within(place, "suspend"), spec.suspend);
}

function checkLabelRules(place: Place, labels: LabelSet): void {
  for (const { name } of labels) {
    if (name === "name" || name === "prefix") {
      refuse(
        place,
        name,
        'no journal may have the labels "name" and "prefix", which selectors use for its own name',
      );
    }
  }
  for (const name of SINGLE_VALUE) {
    const values = labelValues(labels, name);
    if (values.length > 1) refuse(within(place, name), values.join(", "), "this label must have one value");
  }
  const contentType = labelValue(labels, "content-type");
  if (contentType !== undefined && !isMediaType(contentType)) {
    refuse(within(place, "content-type"), contentType, 'it must be a media type, as "application/x-ndjson"');
  }
  requireTogether(place, labels, "app.gazette.dev/message-type", "content-type");
  requireTogether(place, labels, "app.gazette.dev/message-subtype", "app.gazette.dev/message-type");
}

function requireTogether(place: Place, labels: LabelSet, name: string, other: string): void {
  const value = labelValue(labels, name);
  if (value !== undefined && labelValue(labels, other) === undefined) {
    refuse(
      within(place, name),
      value,
      `a journal with this label must have the label ${JSON.stringify(other)} too`,
    );
  }
}

function checkFragmentSpec(place: Place, fragment: FragmentSpec): void {
  checkObject(place, fragment);
  checkInt64(within(place, "length"), fragment.length, MIN_LENGTH, MAX_LENGTH);
  checkCodecAt(within(place, "compressionCodec"), fragment.compressionCodec);
  checkArray(within(place, "stores"), fragment.stores);
  for (const [index, store] of fragment.stores.entries()) {
    const here = within(within(place, "stores"), index);
    checkFragmentStoreAt(here, store);
    if (index === 0 && fragment.compressionCodec === "GZIP_OFFLOAD_DECOMPRESSION" && isFileStore(store)) {
      refuse(here, store, "a store of files cannot decompress: GZIP_OFFLOAD_DECOMPRESSION needs another");
    }
  }
  checkInteger(within(place, "refreshIntervalMs"), fragment.refreshIntervalMs, SECOND_MS, DAY_MS);
  checkInteger(within(place, "retentionMs"), fragment.retentionMs, -MAX_DURATION_MS, MAX_DURATION_MS);
  if (fragment.flushIntervalMs !== 0) {
    checkInteger(within(place, "flushIntervalMs"), fragment.flushIntervalMs, MINUTE_MS, MAX_DURATION_MS);
  }
  checkString(within(place, "pathPostfixTemplate"), fragment.pathPostfixTemplate);
}

function checkFlags(place: Place, flags: readonly JournalFlag[]): void {
  checkArray(place, flags);
  if (flags.length > 1 || flags.some((flag) => !FLAGS.includes(flag))) {
    refuse(place, flags.join(", "), "there must be none, or one of O_RDONLY, O_WRONLY, O_RDWR");
  }
}

function checkSuspension(place: Place, suspend: Suspension): void {
  checkObject(place, suspend);
  if (!LEVELS.includes(suspend.level)) {
    refuse(within(place, "level"), suspend.level, `it must be one of ${LEVELS.join(", ")}`);
  }
  checkInt64(within(place, "offset"), suspend.offset, 0n);
}
