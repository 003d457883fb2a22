import assert from "node:assert/strict";
import { CoordError, type CoordErrorCode } from "../errors.js";
import type { Coord, KeyValue, Op, WatchBatch, WatchEvent } from "../port.js";

/** A store that one case uses. Cases run one after the other; the store may hold what others left behind. */
export interface CoordFixture {
  readonly coord: Coord;
  /** Ends with "/". Keys that begin with it are this case's own, and there is none yet. */
  readonly prefix: string;
  /** Makes `revision` the oldest that the store keeps; what was asked is in force on return. */
  compact(revision: bigint): Promise<void>;
  /** Kills the store and starts it again on its data. Gives what to go on with: `coord` itself, if that survives such things. */
  restart(): Promise<Coord>;
  /** Kills the store and starts an empty one in its place, if `coord` survives that; then the case ends. */
  wipe?(): Promise<void>;
  close(): Promise<void>;
}

/** An implementation, to be tested by the suite. */
export interface CoordUnderTest {
  open(): Promise<CoordFixture>;
  /** What cases ask for their leases: long against the time that a request takes, short against a test's. */
  readonly leaseTtlMs: number;
  /** Lets the store's time pass: a sleep, or the advance of a simulated clock and of what hangs on it. */
  pass(ms: number): Promise<void>;
}

/** One behaviour of the port. `run` rejects if the implementation lacks it; the runner bounds its time. */
export interface ComplianceCase {
  readonly name: string;
  run(store: CoordUnderTest): Promise<void>;
}

/** What a case is given, beside its store. */
export interface CaseContext extends CoordFixture {
  readonly store: CoordUnderTest;
}

export function complianceCase(name: string, body: (context: CaseContext) => Promise<void>): ComplianceCase {
  return {
    name,
    async run(store) {
      const fixture = await store.open();
      try {
        const { coord, prefix, wipe } = fixture;
        await body({
          coord,
          prefix,
          store,
          compact: (revision) => fixture.compact(revision),
          restart: () => fixture.restart(),
          close: () => fixture.close(),
          ...(wipe === undefined ? {} : { wipe: () => wipe.call(fixture) }),
        });
      } finally {
        await fixture.close();
      }
    },
  };
}

export function put(key: string, value: string | Uint8Array = "", lease?: bigint): Op {
  return lease === undefined ? { type: "put", key, value } : { type: "put", key, value, lease };
}

/** Puts without conditions, in one transaction; gives its revision. */
export async function putAll(coord: Coord, ...ops: readonly Op[]): Promise<bigint> {
  return (await coord.txn({ then: ops })).revision;
}

export function textOf(kv: KeyValue | undefined): string | undefined {
  return kv === undefined ? undefined : new TextDecoder().decode(kv.value);
}

export async function getOne(coord: Coord, key: string): Promise<KeyValue | undefined> {
  return (await coord.get({ key })).kvs[0];
}

export function keysOf(kvs: readonly KeyValue[]): string[] {
  return kvs.map((kv) => kv.key);
}

/** An event as a short text: `put KEY=VALUE` or `delete KEY`. */
export function describeEvent(event: WatchEvent): string {
  return event.type === "put" ? `put ${event.kv.key}=${textOf(event.kv)}` : `delete ${event.key}`;
}

/** The first batches of a watch, which is left then. */
export async function take(watch: AsyncIterable<WatchBatch>, count: number): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  for await (const batch of watch) {
    batches.push(batch);
    if (batches.length === count) break;
  }
  return batches;
}

export async function rejectsWith(promise: Promise<unknown>, code: CoordErrorCode): Promise<CoordError> {
  let found: CoordError | undefined;
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof CoordError, `a CoordError "${code}" was expected, not ${String(error)}`);
    assert.equal(error.code, code, `"${code}" was expected, not "${error.code}": ${error.message}`);
    found = error;
    return true;
  });
  return found!;
}

/** Lets time pass until something is so. */
export async function eventually(
  { leaseTtlMs, pass }: CoordUnderTest,
  isSo: () => Promise<boolean>,
  what: string,
): Promise<void> {
  const stepMs = leaseTtlMs / 10;
  for (let waitedMs = 0; waitedMs < leaseTtlMs * 10; waitedMs += stepMs) {
    if (await isSo()) return;
    await pass(stepMs);
  }
  assert.fail(`in ten TTLs it did not come to this: ${what}`);
}
