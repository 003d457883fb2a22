import assert from "node:assert/strict";
import { CoordError } from "../../src/errors.js";
import type { Coord } from "../../src/port.js";

interface Write {
  readonly key: string;
  readonly value: string;
}

/** Everything that writers asked for and were told, to be held against what a store has afterwards. */
export class Ledger {
  /** By value, each of which is used once. */
  readonly #asked: Map<string, Write> = new Map();
  readonly #acknowledged: Map<bigint, Write> = new Map();
  #clusterId: string | undefined;
  #count = 0;

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** Puts a value that was never used before; its fate is recorded whatever it is. */
  async write(coord: Coord, key: string, lease?: bigint, padding = ""): Promise<void> {
    const write = { key, value: `${this.#count++}${padding}` };
    this.#asked.set(write.value, write);
    const put = { type: "put", key, value: write.value, ...(lease === undefined ? {} : { lease }) } as const;
    const { revision } = await coord.txn({ then: [put] });
    assert.ok(!this.#acknowledged.has(revision), `revision ${revision} was given twice`);
    this.#acknowledged.set(revision, write);
  }

  /** Nothing acknowledged is missing, nothing is there that nobody asked for, and history tells the same. */
  async check(coord: Coord): Promise<void> {
    if (this.#acknowledged.size > 0) {
      const id = await coord.clusterId();
      this.#clusterId ??= id;
      assert.equal(id, this.#clusterId, "the cluster id stays once something was acknowledged");
    }
    const { revision, kvs } = await coord.get({ prefix: "" });
    const now = new Map(kvs.map((kv) => [kv.key, kv]));
    for (const kv of kvs) {
      const value = new TextDecoder().decode(kv.value);
      assert.equal(this.#asked.get(value)?.key, kv.key, `${kv.key} has a value that nobody put there`);
    }
    const history = await readHistory(coord, revision);
    for (const [at, write] of this.#acknowledged) {
      assert.ok(at <= revision, `revision ${at} was acknowledged, the newest is ${revision}`);
      if (at >= history.from) {
        const found = history.puts.get(at) ?? new Map();
        assert.equal(found.get(write.key), write.value, `revision ${at} is not what was acknowledged`);
      }
      const kv = now.get(write.key);
      if (kv === undefined) continue;
      assert.ok(kv.modRevision >= at, `${write.key} went back from revision ${at} to ${kv.modRevision}`);
    }
    for (const kv of kvs) {
      const told = this.#acknowledged.get(kv.modRevision);
      if (told !== undefined) assert.equal(new TextDecoder().decode(kv.value), told.value);
    }
    for (const key of this.#mustBeThere(history.deletes)) assert.ok(now.has(key), `${key} is gone`);
  }

  /** Keys that were put without a lease last, and never deleted since as far as history tells. */
  #mustBeThere(deleted: ReadonlySet<string>): Set<string> {
    const keys = new Set<string>();
    for (const { key } of this.#acknowledged.values())
      if (!key.startsWith("leased") && !deleted.has(key)) keys.add(key);
    return keys;
  }
}

interface History {
  readonly from: bigint;
  readonly puts: ReadonlyMap<bigint, ReadonlyMap<string, string>>;
  readonly deletes: ReadonlySet<string>;
}

/** All that a watch from the oldest revision tells. */
async function readHistory(coord: Coord, newest: bigint): Promise<History> {
  const marker = await coord.txn({
    then: [
      { type: "put", key: "marker", value: "" },
      { type: "delete", key: "other" },
    ],
  });
  assert.equal(marker.revision, newest + 1n, "revisions go on where they were");
  const puts = new Map<bigint, Map<string, string>>();
  const deletes = new Set<string>();
  const from = await oldest(coord);
  for await (const batch of coord.watch({ prefix: "" }, { fromRevision: from })) {
    const changed = new Map<string, string>();
    for (const event of batch.events) {
      if (event.type === "put") changed.set(event.kv.key, new TextDecoder().decode(event.kv.value));
      else deletes.add(event.key);
    }
    puts.set(batch.revision, changed);
    if (batch.revision === marker.revision) break;
  }
  await coord.txn({ then: [{ type: "delete", key: "marker" }] });
  return { from, puts, deletes };
}

async function oldest(coord: Coord): Promise<bigint> {
  try {
    await coord.get({ key: "marker" }, { revision: 1n });
    return 1n;
  } catch (error) {
    if (!(error instanceof CoordError) || error.compactRevision === undefined) throw error;
    return error.compactRevision;
  }
}
