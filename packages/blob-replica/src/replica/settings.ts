import type { Clock, Random } from "../clock.js";
import { BlobError, type BlobErrorCode } from "../errors.js";
import type { BlobStore } from "../store.js";
import { checkCount } from "../stores/arguments.js";
import { systemClock, systemRandom } from "../system.js";
import type { NamedStore, ReplicaEvent, ReplicaOptions } from "./options.js";
import type { QueueFiles } from "./queue/files.js";
import { maxStores } from "./queue/record.js";

/** The options, checked, with their defaults. */
export interface Settings {
  readonly sync: readonly NamedStore[];
  readonly async: readonly NamedStore[];
  readonly queue: { readonly dir: string; readonly files?: QueueFiles } | "memory" | undefined;
  readonly writeQuorum: number;
  readonly maxQueued: number;
  readonly whenFull: "block" | "reject" | "drop-to-resync";
  readonly strict: boolean;
  readonly hedgeAfterMs: number | undefined;
  readonly attemptTimeoutMs: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: (event: ReplicaEvent) => void;
}

/** @throws BlobError "invalid-argument" */
export function settingsOf(options: ReplicaOptions): Settings {
  const sync = storesOf("sync", options.sync);
  const asyncStores = options.async === undefined ? [] : storesOf("async", options.async);
  if (sync.length === 0) {
    throw invalid("sync has no store: a replica needs at least one that a blob is in before put returns");
  }
  if (asyncStores.length > maxStores) {
    throw invalid(`async has ${asyncStores.length} stores: at most ${maxStores} are allowed`);
  }
  const names = new Set<string>();
  for (const { name } of [...sync, ...asyncStores]) {
    if (names.has(name)) throw invalid(`two stores are called ${JSON.stringify(name)}: names are unique`);
    names.add(name);
  }
  const writeQuorum = checkCount("writeQuorum", options.writeQuorum ?? sync.length, 1);
  if (writeQuorum > sync.length) {
    throw invalid(`writeQuorum is ${writeQuorum}, and there are ${sync.length} sync stores`);
  }
  const whenFull = options.async === undefined ? "block" : (options.whenFull ?? "block");
  if (whenFull !== "block" && whenFull !== "reject" && whenFull !== "drop-to-resync") {
    throw invalid(`whenFull is "block", "reject" or "drop-to-resync", not ${JSON.stringify(whenFull)}`);
  }
  const retryMinMs = milliseconds("retryMinMs", options.retryMinMs ?? 100, 1);
  const { onEvent } = options;
  return {
    sync,
    async: asyncStores,
    queue: queueOf(options),
    writeQuorum,
    maxQueued: checkCount("maxQueued", (options.async && options.maxQueued) ?? 100_000, 1),
    whenFull,
    strict: (options.async && options.strict) ?? false,
    hedgeAfterMs:
      options.hedgeAfterMs === undefined ? undefined : milliseconds("hedgeAfterMs", options.hedgeAfterMs, 0),
    attemptTimeoutMs: milliseconds("attemptTimeoutMs", options.attemptTimeoutMs ?? 60_000, 1),
    retryMinMs,
    retryMaxMs: milliseconds("retryMaxMs", options.retryMaxMs ?? Math.max(30_000, retryMinMs), retryMinMs),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    emit: (event) => {
      try {
        onEvent?.(event);
      } catch {
        // A listener's mistake is not the replica's.
      }
    },
  };
}

function storesOf(option: string, stores: readonly NamedStore[]): readonly NamedStore[] {
  if (!Array.isArray(stores)) throw invalid(`${option} is a list of { name, store }`);
  return [...stores].map((each: NamedStore) => {
    if (typeof each?.name !== "string" || each.name === "") {
      throw invalid(
        `a store in ${option} has no name: each is { name, store }, and the name has a character at least`,
      );
    }
    const store: Partial<BlobStore> | undefined = each.store;
    if (
      typeof store?.get !== "function" ||
      typeof store.put !== "function" ||
      typeof store.listRefs !== "function"
    ) {
      throw invalid(`${JSON.stringify(each.name)} in ${option} is no store: it lacks get, put or listRefs`);
    }
    return { name: each.name, store: each.store };
  });
}

function queueOf(options: ReplicaOptions): Settings["queue"] {
  if (options.async === undefined) {
    if (options.queue !== undefined) throw invalid("queue is for asynchronous stores, and there is no async");
    return undefined;
  }
  const queue: { readonly dir?: unknown; readonly memory?: unknown } | undefined = options.queue;
  if (typeof queue?.dir === "string" && queue.dir !== "" && queue.memory === undefined) {
    return "dir" in options.queue ? options.queue : undefined;
  }
  if (queue?.memory === true && queue.dir === undefined) return "memory";
  throw invalid(
    "asynchronous stores need a queue: { dir } for one that survives a restart, or { memory: true }",
  );
}

function milliseconds(name: string, value: number, atLeast: number): number {
  if (!(value >= atLeast && value <= 2 ** 31 - 1)) {
    throw invalid(`${name} is a number of milliseconds from ${atLeast} to ${2 ** 31 - 1}, not ${value}`);
  }
  return value;
}

function invalid(message: string): BlobError {
  return new BlobError("invalid-argument", message);
}

export function hasCode(error: unknown, code: BlobErrorCode): boolean {
  return error instanceof BlobError && error.code === code;
}

/** What an error says, on one line. */
export function saying(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
