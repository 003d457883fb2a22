import type { FragmentSpec, JournalSpec } from "./journal-spec.js";
import type { LabelSet } from "./label.js";
import { labelSet } from "./label-set.js";
import { checkJournalSpec } from "./spec-rules.js";

/** What `journalSpec` takes: a name, and whatever shall not be as by default. */
export interface JournalSpecFields extends Partial<Omit<JournalSpec, "name" | "labels" | "fragment">> {
  readonly name: string;
  /** A label set, or what `labelSet` makes one of. Default none. */
  readonly labels?: LabelSet | Readonly<Record<string, string | readonly string[]>>;
  readonly fragment?: Partial<FragmentSpec>;
}

/**
 * Makes a whole specification of a few fields: `journalSpec({ name: "a/journal", fragment: { stores: ["s3://bucket/"] } })`. By default 3
 * replicas, no labels, O_RDWR, no limit of the rate; fragments of 256 MiB, SNAPPY, in no store, listed every 5 minutes, kept for ever.
 * @throws JournalError "invalid-argument" when a broker would refuse it
 */
export function journalSpec(fields: JournalSpecFields): JournalSpec {
  const { name, labels = [], fragment = {}, suspend } = fields;
  const spec: JournalSpec = {
    name,
    replication: fields.replication ?? 3,
    labels: Array.isArray(labels)
      ? labels
      : labelSet(labels as Readonly<Record<string, string | readonly string[]>>), // What isArray does not tell of readonly arrays.
    fragment: {
      length: fragment.length ?? 1n << 28n,
      compressionCodec: fragment.compressionCodec ?? "SNAPPY",
      stores: fragment.stores ?? [],
      refreshIntervalMs: fragment.refreshIntervalMs ?? 300_000,
      retentionMs: fragment.retentionMs ?? 0,
      flushIntervalMs: fragment.flushIntervalMs ?? 0,
      pathPostfixTemplate: fragment.pathPostfixTemplate ?? "",
    },
    flags: fields.flags ?? ["O_RDWR"],
    maxAppendRate: fields.maxAppendRate ?? 0n,
    ...(suspend !== undefined && { suspend }),
  };
  checkJournalSpec(spec);
  return spec;
}
