import { beforeAll, describe, expect, it } from "vitest";
import type { Report } from "../src/bench/benchmark.js";
import { measureBlobs } from "../src/bench/blobs/benchmark.js";
import { type Figures, opsOf, parseFigures, warmUpOf } from "../src/bench/blobs/call.js";
import { blobsOf } from "../src/bench/blobs/content.js";
import { rowsOf } from "../src/bench/blobs/figures.js";
import { listingName, listingNotes, listingRows } from "../src/bench/blobs/listing.js";
import {
  BS,
  fullScale,
  LIMIT,
  type Part,
  type Peer,
  PLAIN,
  partsOf,
  quickScale,
  type Scale,
} from "../src/bench/blobs/plan.js";
import {
  bsPeerBuild,
  buildGoServer,
  goBuildTimeoutMs,
  requireServer,
  toxiproxyBuild,
  versitygwBuild,
} from "../src/servers/index.js";

const tiny: Scale = {
  ...quickScale,
  largeInMemory: 2,
  rounds: 1,
  largeOnDisk: 2,
  smallPuts: 5,
  smallGets: 5,
  smallOnS3: 5,
  behind: 10,
  listedRefs: 3_000,
};

const figures: Figures = { ops: 10, bytes: 1000, seconds: 2, appends: 10, syncs: 5 };

describe("a window of the blobs benchmark", () => {
  it("tells its figures in the last line of what it prints", () => {
    expect(parseFigures(`a warning\n${JSON.stringify(figures)}\n`)).toEqual(figures);
    expect(() => parseFigures("")).toThrow();
    expect(() => parseFigures('{"ops":1,"bytes":1}\n')).toThrow("no figure seconds");
  });

  it("is warmed up by a part of itself, in one round", () => {
    const call = { operation: "sha256", size: 8, count: 7, rounds: 4 } as const;
    expect(opsOf(call)).toBe(28);
    expect(warmUpOf(call)).toEqual({ ...call, count: 2, rounds: 1 });
    const get = { operation: "get", store: { kind: "s3" }, size: 8, count: 7 } as const;
    expect(warmUpOf(get)).toEqual({ ...get, operation: "get-many", rounds: 1 });
  });

  it("moves blobs that are the same in every run, and each another", () => {
    const blobs = blobsOf(50, 100);
    expect(new Set(blobs.map((blob) => Buffer.from(blob).toString("hex"))).size).toBe(50);
    expect(blobsOf(50, 100)).toEqual(blobs);
    expect(blobs.every((blob) => blob.length === 100)).toBe(true);
  });
});

describe("the rows of the blobs benchmark", () => {
  const part: Part = {
    name: "part",
    ours: { operation: "put", size: 100, count: 10 },
    peers: {
      [LIMIT]: { operation: "sha256", size: 100, count: 10 },
      [PLAIN]: { operation: "put", size: 100, count: 10 },
    },
    metrics: [
      {
        name: "",
        unit: "blobs/s",
        better: "higher",
        of: ({ ops, seconds }) => ops / seconds,
        goals: { [LIMIT]: { text: ">= 0.5x", atLeast: 0.5 } },
      },
    ],
  };

  it("are one for each peer, and judge its goal by the ratio to that peer", () => {
    const peers = new Map<Peer, Figures[]>([
      [LIMIT, [{ ...figures, seconds: 1 }]],
      [PLAIN, [{ ...figures, seconds: 4 }]],
    ]);
    expect(rowsOf(part, { ours: [figures], peers })).toMatchObject([
      { metric: "part", peer: LIMIT, ours: 5, theirs: 10, ratio: 0.5, goal: ">= 0.5x", met: true },
      { metric: "part", peer: PLAIN, ours: 5, theirs: 2.5, ratio: 2, goal: null, met: null },
    ]);
    const slower = [{ ...figures, seconds: 2.1 }];
    expect(rowsOf(part, { ours: slower, peers })[0]?.met).toBe(false);
  });

  it("miss their goals when nothing could be measured", () => {
    const rows = rowsOf(part, { ours: [], peers: new Map() });
    expect(rows.map(({ met }) => met)).toEqual([false, null]);
  });

  it("stand alone where there is no peer", () => {
    const alone = partsOf(fullScale).find(({ ours: { operation } }) => operation === "queue-costs");
    expect(alone).toBeDefined();
    const once = { ...figures, syncs: 10 };
    expect(rowsOf(alone!, { ours: [once], peers: new Map() })).toMatchObject([
      { peer: null, ours: 1, goal: "one", met: true },
      { peer: null, ours: 1, goal: "one", met: true },
    ]);
    const twice = { ...figures, appends: 11, syncs: 20 };
    const rows = rowsOf(alone!, { ours: [twice], peers: new Map() });
    expect(rows.map(({ met }) => met)).toEqual([false, false]);
  });

  it("of a listing say when bobg/bs did not give all that it should", () => {
    const round = {
      reusedPagesNs: 10,
      pagesNs: 11,
      stringsNs: 60,
      bsNs: 100,
      bsSortedNs: 50,
      bsComplete: true,
    };
    const listing = { rounds: [round], extraBytes: [{ reusedPages: 32e6, pages: 31e6, strings: 33e6 }] };
    expect(listingRows("l", listing).map(({ met }) => met)).toEqual([
      true,
      false,
      false,
      null,
      null,
      null,
      true,
      true,
      false,
    ]);
    expect(listingNotes("l", listing)).toEqual([]);
    const missed = listingRows("l", { rounds: [], extraBytes: [] });
    expect(missed.map(({ met }) => met)).toEqual([
      false,
      false,
      false,
      null,
      null,
      null,
      false,
      false,
      false,
    ]);
    const lost = { ...listing, rounds: [round, { ...round, bsComplete: false }] };
    expect(listingNotes("l", lost)).toEqual([expect.stringContaining("in 1 of 2 windows")]);
  });

  it("have every goal that was set", () => {
    const goals = partsOf(fullScale).flatMap(({ name, metrics }) =>
      metrics.flatMap(({ name: what, goals = {}, ownGoal }) =>
        [...Object.values(goals), ...(ownGoal ? [ownGoal] : [])].map(
          ({ text }) => `${name}${what && `, ${what}`}: ${text}`,
        ),
      ),
    );
    expect(goals).toEqual([
      "put 1 MiB to 3 stores in memory: >= 0.45x SHA-256",
      "put 1 MiB to 2 directories, synced (bs: not synced): >= 0.5x one directory",
      "put 4 KiB to a directory, synced, 32 in flight (bs: not synced): >= 2.5x one at a time",
      "get 1 MiB from memory, verified, frozen: >= 0.8x SHA-256",
      "get 1 MiB from memory, verified, as a copy: >= 0.8x SHA-256",
      "get 1 MiB from 3 stores in memory, verified, frozen (bs: not verified): >= 0.8x SHA-256",
      "get 1 MiB from 3 stores in memory, verified, as a copy: >= 0.8x SHA-256",
      "get 1 MiB from a directory, verified: >= 0.8x SHA-256",
      "putMany of 4 KiB, directory (bs: 64 in flight, not synced): >= 4x one at a time",
      "putMany of 4 KiB, directory, 16 threads: >= 4x one at a time",
      "getMany of 4 KiB, directory (bs: 16 in flight, not verified): >= 4x one at a time",
      "putMany of 4 KiB, S3 on the same cores: >= 4x one at a time",
      "getMany of 4 KiB, S3 on the same cores: >= 4x one at a time",
      "putMany of 4 KiB, S3 at 10 ms: >= 4x one at a time",
      "getMany of 4 KiB, S3 at 10 ms: >= 4x one at a time",
      "asynchronous put of 4 KiB, queue on disk, one at a time, appends for each: one",
      "asynchronous put of 4 KiB, queue on disk, one at a time, syncs for each: one",
      "asynchronous put of 4 KiB, queue on disk, 32 in flight, appends for each: one",
      "asynchronous put of 4 KiB, queue on disk, 32 in flight, syncs for each: one",
      "catch-up after an outage, 4 KiB, memory: >= 0.9x of its own putMany",
      "catch-up after an outage, 4 KiB, directory: >= 0.9x of its own putMany",
      "catch-up after an outage, 4 KiB, S3: >= 0.9x of its own putMany",
    ]);
  });
});

const missing = (["bs-peer", "toxiproxy", "versitygw"] as const).filter((name) => !requireServer(name));

describe.skipIf(missing.length > 0)(
  "the blobs benchmark, at sizes that mean nothing",
  { timeout: 240_000 },
  () => {
    let report: Report;
    beforeAll(async () => {
      for (const server of [versitygwBuild, toxiproxyBuild, bsPeerBuild]) await buildGoServer(server);
      const { signal } = new AbortController();
      const context = { quick: true, only: undefined, profileDirectory: undefined, signal, say: () => {} };
      report = await measureBlobs(context, tiny);
    }, goBuildTimeoutMs);

    it("measures everything beside what it is compared with", () => {
      expect(report.notes).toEqual([]);
      expect(report.failed).toBe(false);
      const names = [true, false].map((same) => listingName({ same, refs: tiny.listedRefs }));
      const metrics = report.rows.map(({ metric }) => metric);
      for (const name of [...partsOf(tiny).map(({ name }) => name), ...names]) {
        expect(metrics.filter((metric) => metric.startsWith(name))).not.toEqual([]);
      }
      expect(new Set(report.rows.map(({ peer }) => peer))).toEqual(new Set([LIMIT, PLAIN, BS, null]));
      for (const { metric, unit, ours, peer, theirs, ratio } of report.rows) {
        // A listing that is this short may take no memory that shows.
        if (unit === "MB") expect(ours, metric).toBeGreaterThanOrEqual(0);
        else expect(ours, metric).toBeGreaterThan(0);
        expect(Number.isFinite(ours), metric).toBe(true);
        if (peer === null) continue;
        expect(theirs, metric).toBeGreaterThan(0);
        expect(Number.isFinite(ratio), metric).toBe(true);
      }
    });

    it("counts one append and one sync of the queue for each put that is waited for", () => {
      const costs = report.rows.filter(({ metric }) => metric.includes("one at a time: "));
      expect(costs.map(({ ours }) => ours)).toEqual([1, 1]);
    });
  },
);
