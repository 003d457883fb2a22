/** What one window runs, in a process of its own, and what that process tells. */

export interface StoreSpec {
  readonly kind: "memory" | "verifying memory" | "directory" | "s3" | "distant s3";
  /** A replica of so many of them. Default: the store alone. */
  readonly replicas?: number;
}

/** A bucket of a server on this machine. */
export interface S3Place {
  readonly endpoint: string;
  /** The same server, with a delay in between. */
  readonly distantEndpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly bucket: string;
}

export type Operation =
  | "put"
  | "put-many"
  | "get"
  | "get-many"
  /** Puts to a replica with an asynchronous store, which keeps up. */
  | "queued-put"
  /** The same while that store is away and none of it reaches it; counts what the queue asks of the file system. */
  | "queue-costs"
  /** From the end of an outage until the asynchronous store has everything. */
  | "catch-up"
  /** Raw limits: the hash alone, new files that are written and synced, what a batch in a directory store costs at least, records that are appended to one file and synced. */
  | "sha256"
  | "file-put"
  | "file-put-many"
  | "file-append";

export interface Call {
  readonly operation: Operation;
  /** The asynchronous one of `queued-put` and `catch-up`. */
  readonly store?: StoreSpec;
  /** The synchronous one there. Default: in memory. */
  readonly source?: StoreSpec;
  /** Of each blob. */
  readonly size: number;
  /** Of the blobs; each is another. */
  readonly count: number;
  /** How often, with a new store each time where it is written to. Default 1. */
  readonly rounds?: number;
  /** Default 1. */
  readonly inFlight?: number;
  /** Gets of bytes that the caller will not change. Default false. */
  readonly frozen?: boolean;
  /** In libuv's pool. Default: Node's own, 4. */
  readonly threads?: number;
}

export interface Places {
  /** Where stores and queues may make folders. */
  readonly folder: string;
  readonly s3?: S3Place;
}

export interface Figures {
  readonly ops: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Of `queue-costs`: calls of the queue's file. */
  readonly appends?: number;
  readonly syncs?: number;
}

/** The last line of a program's output. @throws Error when it is none of figures */
export function parseFigures(stdout: string): Figures {
  const line = stdout.trimEnd().split("\n").at(-1) ?? "";
  const figures = JSON.parse(line) as Partial<Figures>;
  for (const name of ["ops", "bytes", "seconds"] as const) {
    if (typeof figures[name] !== "number") throw new Error(`a program printed no figure ${name}: ${line}`);
  }
  return figures as Figures; // each was looked at
}

/** Blobs that `call` moves; its figures have to say the same. */
export function opsOf({ count, rounds = 1 }: Call): number {
  return count * rounds;
}

/** A part of the load, not counted: what is hot is compiled then, as it is in a program that runs for long. */
export function warmUpOf(call: Call): Call {
  const { operation, store, count } = call;
  if (store?.kind !== "s3" && store?.kind !== "distant s3") {
    return { ...call, count: Math.ceil(count / 5), rounds: 1 };
  }
  // The code of a client of S3 is long: much of it to compile, and many at a time do that soonest.
  const many = operation === "put" || operation === "get" ? (`${operation}-many` as const) : operation;
  return { ...call, operation: many, rounds: 1 };
}
