export interface ProcessId {
  readonly zone: string;
  readonly suffix: string;
}

/** Which brokers serve a journal. */
export interface Route {
  /** Ordered by zone, then suffix. */
  readonly members: readonly ProcessId[];
  /** Index into `members`, or -1 when there is none. */
  readonly primary: number;
  /** As many as members, in their order, or none. `http://host:port`, `https://host:port` or `unix://host/path`. */
  readonly endpoints: readonly string[];
}

/** Who answered, and what it knew then. */
export interface Header {
  readonly processId: ProcessId;
  readonly route: Route;
  readonly etcd: {
    readonly clusterId: bigint;
    readonly memberId: bigint;
    readonly revision: bigint;
    readonly raftTerm: bigint;
  };
}
