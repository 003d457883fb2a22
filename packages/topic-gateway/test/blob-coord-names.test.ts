import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { refOf } from "@x/blob-replica";
import { type Coord, CoordError } from "@x/coord";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ArchiveEntry, type ArchiveNames, coordNames, memoryNames } from "../src/blob.js";
import { parseKey, StateCache } from "../src/protocol.js";
import { systemRuntime } from "../src/system.js";
import { codeOf, NAME, record } from "./support/blob-world.js";

const entry = (content: string, lastSequence = 5): ArchiveEntry => ({
  manifest: refOf(Buffer.from(content)),
  lastSequence,
  bytes: 1000,
});
const [one, two] = [entry("one"), entry("two")];

async function listed(names: ArchiveNames): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of names.list()) found.push(name);
  return found.sort();
}

describe("names in the coordination store", () => {
  let folder: string;
  let coord: Coord;
  let names: ArchiveNames;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "names-"));
    coord = await openEmbeddedCoord({ directory: folder });
    names = coordNames({ coord });
  });
  afterEach(async () => {
    await coord.close();
    await rm(folder, { recursive: true, force: true });
  });
  const key = `/x/archive/segments/${NAME}`;

  it("are records beside those of the topics, which look past them", async () => {
    await record(coord, NAME, { lastSequence: 5 });
    expect(await names.put(NAME, one, { generation: 0n })).toBe(true);
    await names.nextGeneration(0n);
    const { kvs } = await coord.get({ prefix: "/x/archive/" });
    expect(kvs.map((kv) => [kv.key, Buffer.from(kv.value).toString()])).toEqual([
      ["/x/archive/generation", ""],
      [key, `{"manifest":"${one.manifest}","lastSeq":5,"bytes":1000}`],
    ]);
    for (const kv of kvs) expect(parseKey(kv.key)).toBeUndefined();
    await using cache = await StateCache.open(coord, { clock: systemRuntime.clock });
    expect([...cache.state.faults]).toEqual([]);
    expect(await names.get(NAME)).toEqual(one);
  });

  it.each([
    ["no record", undefined, "not-owner"],
    ["an open segment", { lastSequence: 5, state: "open" }, "not-owner"],
    ["a deleted one", { lastSequence: 5, state: "deleted" }, "not-owner"],
    ["one of another incarnation", { lastSequence: 5, incarnation: 4n }, "not-owner"],
    ["one that ends elsewhere", { lastSequence: 4 }, "log-exists"],
  ] as const)("are refused for %s", async (_, what, code) => {
    if (what) await record(coord, NAME, what);
    expect(await codeOf(names.put(NAME, one, { generation: 0n }))).toBe(code);
    expect(await names.get(NAME)).toBeUndefined();
  });

  it("of a late archiver do not come back when the segment was deleted meanwhile", async () => {
    await record(coord, NAME, { lastSequence: 5 });
    // Between its look at the record and its transaction somebody deletes the segment: record first, then name.
    let txns = 0;
    const late = coordNames({
      coord: new Proxy(coord, {
        get(target, property) {
          if (property !== "txn") {
            const value: unknown = Reflect.get(target, property);
            return typeof value === "function" ? value.bind(target) : value;
          }
          return async (txn: Parameters<Coord["txn"]>[0]) => {
            txns += 1;
            if (txns === 2) {
              await record(coord, NAME, { lastSequence: 5, state: "deleted" });
              await names.delete(NAME);
            }
            return await target.txn(txn);
          };
        },
      }),
    });
    expect(await codeOf(late.put(NAME, one, { generation: 0n }))).toBe("not-owner");
    expect(txns).toBe(3);
    expect(await names.get(NAME)).toBeUndefined();
  });

  it("that end elsewhere than is recorded give way to what does not", async () => {
    await record(coord, NAME, { lastSequence: 4 });
    await names.put(NAME, entry("short", 4), { generation: 0n });
    await record(coord, NAME, { lastSequence: 5 });
    expect(await names.put(NAME, one, { generation: 0n })).toBe(true);
    expect(await names.get(NAME)).toEqual(one);
  });

  it("that can't be read are said to be damaged, and are replaced by a put", async () => {
    await record(coord, NAME, { lastSequence: 5 });
    for (const value of ["", "1", "{}", '{"manifest":"xyz","lastSeq":5,"bytes":1}', '{"manifest":null}']) {
      await coord.txn({ then: [{ type: "put", key, value }] });
      expect(await codeOf(names.get(NAME)), value).toBe("corrupt");
      expect(await codeOf(listed(names)), value).toBe("corrupt");
    }
    expect(await names.put(NAME, one, { generation: 0n })).toBe(true);
    expect(await names.get(NAME)).toEqual(one);
  });

  it("are listed page by page, all of them, and nothing else", async () => {
    const all: string[] = [];
    const value = JSON.stringify({ manifest: one.manifest, lastSeq: 5, bytes: 1 });
    for (let at = 0; at < 1_100; at += 100) {
      const some = Array.from({ length: 100 }, (_, i) => `t${i % 7}/${at + i}/${at + i}_0-63`);
      all.push(...some);
      await coord.txn({
        then: some.map((name) => ({ type: "put", key: `/x/archive/segments/${name}`, value })),
      });
    }
    await names.nextGeneration(0n);
    await coord.txn({ then: [{ type: "put", key: "/x/archive/segmentsx", value: "not ours" }] });
    expect(await listed(names)).toEqual(all.sort());
  });

  it("say so when the store is away, or closed", async () => {
    const away = coordNames({
      coord: {
        ...coord,
        get: () => Promise.reject(new CoordError("unavailable", "away")),
        txn: () => Promise.reject(new CoordError("unavailable", "away")),
      },
    });
    expect(await codeOf(away.get(NAME))).toBe("unavailable");
    expect(await codeOf(away.put(NAME, one, { generation: 0n }))).toBe("unavailable");
    expect(await codeOf(away.delete(NAME))).toBe("unavailable");
    await coord.close();
    expect(await codeOf(names.get(NAME))).toBe("closed");
  });
});

describe.each(["memory", "the coordination store"])("names in %s", (where) => {
  let folder: string;
  let coord: Coord;
  let names: ArchiveNames;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "names-"));
    coord = await openEmbeddedCoord({ directory: folder });
    names = where === "memory" ? memoryNames() : coordNames({ coord });
    await record(coord, NAME, { lastSequence: 5 });
  });
  afterEach(async () => {
    await coord.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("stay with the first of two puts of the same segment, unless that is the one to be replaced", async () => {
    const generation = await names.generation();
    expect(await names.put(NAME, one, { generation })).toBe(true);
    expect(await names.put(NAME, two, { generation })).toBe(true);
    expect(await names.get(NAME)).toEqual(one);
    expect(await names.put(NAME, two, { generation, replaces: one })).toBe(true);
    expect(await names.get(NAME)).toEqual(two);
    // Whoever wants to replace what was replaced already does not.
    expect(await names.put(NAME, one, { generation, replaces: one })).toBe(true);
    expect(await names.get(NAME)).toEqual(two);
  });

  it("are not put in another generation than the one that is told", async () => {
    const before = await names.generation();
    const now = await names.nextGeneration(before);
    expect(now).toBeGreaterThan(before);
    expect(await names.generation()).toBe(now);
    expect(await names.nextGeneration(before)).toBeUndefined();
    expect(await names.put(NAME, one, { generation: before })).toBe(false);
    expect(await names.get(NAME)).toBeUndefined();
    expect(await names.put(NAME, one, { generation: now as bigint })).toBe(true);
  });

  it("are deleted, also when there is none", async () => {
    const generation = await names.generation();
    await names.put(NAME, one, { generation });
    await names.delete(NAME);
    await names.delete(NAME);
    expect(await listed(names)).toEqual([]);
  });

  it("end with the very reason of an abort", async () => {
    const reason = { why: "enough" };
    const signal = AbortSignal.abort(reason);
    for (const call of [
      () => names.get(NAME, { signal }),
      () => names.put(NAME, one, { generation: 0n, signal }),
      () => names.delete(NAME, { signal }),
      () => names.generation({ signal }),
      () => names.nextGeneration(0n, { signal }),
    ]) {
      await expect(call()).rejects.toBe(reason);
    }
  });

  it.each([
    "",
    "orders",
    "../3/1_0-63",
    "orders/3/1_0-63/..",
    "orders/x/1_0-63",
    "orders/3/1_0-70000",
    "a b/3/1_0-63",
  ])("are no names when they are not: %j", async (name) => {
    for (const call of [
      () => names.get(name),
      () => names.put(name, one, { generation: 0n }),
      () => names.delete(name),
    ]) {
      const error = await call().catch((caught: unknown) => caught);
      expect(error).toMatchObject({
        code: "invalid-argument",
        message: expect.stringMatching(/is not the name of an archived segment: "\{topic\}/),
      });
    }
  });
});
