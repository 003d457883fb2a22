import { HarnessError } from "./errors.js";

export type GazetteCodec = "NONE" | "GZIP" | "ZSTANDARD" | "SNAPPY" | "GZIP_OFFLOAD_DECOMPRESSION";

/** What a journal is created with. */
export interface GazetteJournal {
  readonly name: string;
  /**
   * Default: the number of the cluster's brokers, at most 3. Appends need so many brokers: with 3 of 3, they are refused
   * (INSUFFICIENT_JOURNAL_BROKERS) as long as one is gone; with 2 of 3 they go on.
   */
  readonly replication?: number;
  readonly labels?: readonly { readonly name: string; readonly value: string }[];
  /** Default "NONE". */
  readonly codec?: GazetteCodec;
  /** Bytes after which a fragment is closed, and persisted by the primary at once: 1,024 to 16 GiB. Default 64 MiB. */
  readonly fragmentBytes?: number;
  /** Where fragments go, and are read from. Default `["file:///"]`; `[]` persists none. */
  readonly stores?: readonly string[];
  /** How often the brokers list the stores. Default 60, at least 1. */
  readonly refreshSeconds?: number;
  /** Fragments are closed at multiples of this too. Default: not; at least 60. */
  readonly flushSeconds?: number;
  readonly flags?: "O_RDWR" | "O_RDONLY" | "O_WRONLY";
  /** Bytes per second. Default: no limit. */
  readonly maxAppendRate?: number;
}

/** The journals as a document that `gazctl journals apply` takes: JSON is YAML. Creates only: what exists is refused. */
export function creation(journals: readonly GazetteJournal[], brokers: number): string {
  return hierarchy(
    journals.map((journal) => ({
      name: journal.name,
      replication: journal.replication ?? Math.min(brokers, 3),
      labels: [...(journal.labels ?? [])].sort(
        (a, b) => compare(a.name, b.name) || compare(a.value, b.value),
      ),
      flags: journal.flags ?? "O_RDWR",
      max_append_rate: journal.maxAppendRate ?? 0,
      fragment: {
        length: journal.fragmentBytes ?? 1 << 26,
        compression_codec: journal.codec ?? "NONE",
        stores: journal.stores ?? ["file:///"],
        refresh_interval: `${journal.refreshSeconds ?? 60}s`,
        flush_interval: `${journal.flushSeconds ?? 0}s`,
      },
    })),
  );
}

/** The same for `gazctl`, to delete them, whatever their revision is. */
export function deletion(names: readonly string[]): string {
  return hierarchy(names.map((name) => ({ name, delete: true, revision: -1 })));
}

function hierarchy(nodes: readonly { readonly name: string }[]): string {
  return JSON.stringify({ name: "", children: [...nodes].sort((a, b) => compare(a.name, b.name)) });
}

function compare(a: string, b: string): number {
  return Number(a > b) - Number(a < b);
}

/** One journal of a listing. */
export interface GazetteListing {
  readonly name: string;
  readonly replication: number;
  /** Decimal: the revision of etcd at which the specification was written last. */
  readonly modRevision: string;
  /** The brokers that have it: the primary and the replicas. */
  readonly members: readonly { readonly zone: string; readonly suffix: string }[];
  /** One of `members`; undefined if the journal has no primary now. */
  readonly primary: { readonly zone: string; readonly suffix: string } | undefined;
  readonly labels: readonly { readonly name: string; readonly value: string }[];
}

interface WireListing {
  readonly journals?: readonly {
    readonly spec: {
      readonly name: string;
      readonly replication: number;
      readonly labels?: { readonly labels?: readonly { readonly name: string; readonly value: string }[] };
    };
    readonly modRevision: string;
    readonly route: {
      readonly members?: readonly { readonly zone: string; readonly suffix: string }[];
      readonly primary: number;
    };
  }[];
}

/** The gateway's answer to `/v1/journals/list`: messages of a stream, one JSON document a line, each below `result`. */
export function listing(answer: unknown): readonly GazetteListing[] {
  const { result, error } = answer as { readonly result?: WireListing; readonly error?: unknown };
  if (error !== undefined || result === undefined)
    throw new HarnessError("request-failed", `the broker refused to list: ${JSON.stringify(answer)}`);
  return (result.journals ?? []).map(({ spec, modRevision, route }) => {
    const members = route.members ?? [];
    return {
      name: spec.name,
      replication: spec.replication,
      modRevision,
      members,
      primary: members[route.primary],
      labels: (spec.labels?.labels ?? []).map(({ name, value }) => ({ name, value })),
    };
  });
}
