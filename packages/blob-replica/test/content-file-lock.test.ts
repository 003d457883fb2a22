import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Clock } from "../src/clock.js";
import { type AnchorStore, fileAnchorStore } from "../src/content/anchor-store.js";
import { type Ref, refOf } from "../src/index.js";
import type { StoreFiles } from "../src/stores/files.js";
import type { ProcessIdentity } from "../src/stores/process-identity.js";
import { systemProcess } from "../src/system.js";
import { testBlob } from "../src/testing/fixture.js";
import { PowerCutFiles } from "./support/power-cut-files.js";

const refOfNumber = (n: number): Ref => refOf(testBlob(n, 8));
const path = "/disk/root";

/** Time passes only for those who wait. What the files of these tests say of their age is from the epoch. */
class WaitingClock implements Clock {
  nowMs = 1_000_000;
  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  setTimer(delayMs: number, callback: () => void): () => void {
    const handle = setImmediate(() => {
      this.nowMs += delayMs;
      callback();
    });
    return () => clearImmediate(handle);
  }
}

/** Processes of one machine, each with a store of the same anchor. They die before a call of the file system: that one and those after it are not made. */
class Machine {
  readonly files = new PowerCutFiles();
  readonly clock = new WaitingClock();
  readonly dead = new Set<string>();
  /** Awaited before each call. */
  turn: () => Promise<void> = async () => {};
  /** What was wrong. */
  readonly crimes: string[] = [];

  /** `diesAt`: counted from 1. */
  start(name: string, diesAt = Number.POSITIVE_INFINITY): AnchorStore {
    let calls = 0;
    const step = async (): Promise<void> => {
      await this.turn();
      if (++calls === diesAt) this.dead.add(name);
      if (this.dead.has(name)) throw new Error(`${name} is dead`);
    };
    const { files } = this;
    const mine: StoreFiles = Object.assign(Object.create(files) as StoreFiles, {
      readNow: () => 0,
      syncDir: async (dir: string) => {
        await step();
        await files.syncDir(dir);
      },
      makeDir: async (dir: string) => {
        await step();
        return await files.makeDir(dir);
      },
      list: (dir: string) => files.list(dir),
      modifiedMs: (file: string) => files.modifiedMs(file),
      rename: async (from: string, to: string) => {
        await step();
        await files.rename(from, to);
      },
      remove: async (file: string) => {
        await step();
        const owner = this.textOf(file);
        if (
          file.includes(".lock") &&
          owner !== name &&
          owner !== "" &&
          owner !== undefined &&
          !this.dead.has(owner)
        ) {
          this.crimes.push(`${name} removes ${file} of ${owner}, which lives`);
        }
        await files.remove(file);
      },
      openForReading: async (file: string) => {
        await step();
        return await files.openForReading(file);
      },
      create: async (file: string) => {
        await step();
        const made = await files.create(file);
        return {
          append: async (bytes: Uint8Array) => {
            await step();
            await made.append(bytes);
          },
          sync: async () => {
            await step();
            await made.sync();
          },
          close: () => made.close(),
        };
      },
    });
    const identity: ProcessIdentity = { token: name, isDead: (token) => this.dead.has(token) };
    return fileAnchorStore(path, { ports: { files: mine, clock: this.clock, process: identity } });
  }

  textOf(file: string): string | undefined {
    const into = new Uint8Array(100);
    try {
      return Buffer.from(into.subarray(0, this.files.readNow(file, into))).toString();
    } catch {
      return undefined;
    }
  }
}

describe("the lock of the anchor file", () => {
  it("is taken over wherever the process that had it died, and wherever the one that took it over did", async () => {
    let deaths = 0;
    const left = new Set<string>();
    // The first has the lock when it dies, or is about to; the second takes it over; the third takes over from both.
    for (let first = 1, more = true; more; first++) {
      for (let second = 1; ; second++) {
        const machine = new Machine();
        const ends = await machine
          .start("first", first)
          .swap(undefined, refOfNumber(1))
          .catch(() => "died");
        if (second === 1 && ends !== "died") more = false;
        const from = await machine.start("reader").load();
        const taking = await machine
          .start("second", second)
          .swap(from, refOfNumber(2))
          .catch(() => "died");
        for (const name of await machine.files.list("/disk").catch(() => [])) left.add(name);
        const third = machine.start("third");
        const current = await third.load();
        expect(await third.swap(current, refOfNumber(3)), `deaths at ${first} and ${second}`).toBe(true);
        expect(await third.load()).toBe(refOfNumber(3));
        // The lock may be free and the second one still be there, until somebody needs it.
        machine.dead.add("fourth");
        await (await machine.files.create(`${path}.lock`)).append(Buffer.from("fourth"));
        expect(await machine.start("fifth").swap(refOfNumber(3), refOfNumber(5))).toBe(true);
        expect(await machine.files.list("/disk")).toEqual(["root"]);
        expect(machine.crimes).toEqual([]);
        if (taking !== "died") break;
        deaths++;
      }
    }
    expect(deaths).toBeGreaterThan(100);
    expect([...left]).toContain("root.lock.steal");
  });

  it("is had by one at a time, whatever dead ones left and in whatever order the others come", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 3 }),
        fc.array(fc.nat(7), { minLength: 200, maxLength: 400 }),
        fc.constantFrom("dead", ""),
        async (steals, order, token) => {
          const machine = new Machine();
          machine.dead.add("dead");
          await machine.files.makeDir("/disk");
          for (let n = 0; n <= steals; n++) {
            const file = await machine.files.create(`${path}.lock${".steal".repeat(n)}`);
            if (token !== "") await file.append(Buffer.from(token));
          }
          // Each call waits as many turns as it is told to.
          let calls = 0;
          machine.turn = async () => {
            for (let turns = order[calls++ % order.length] ?? 0; turns > 0; turns--) await Promise.resolve();
          };
          const swaps = [1, 2, 3, 4].map((n) =>
            machine.start(`process ${n}`).swap(undefined, refOfNumber(n)),
          );
          const swapped = await Promise.all(swaps);
          expect(swapped.filter((each) => each)).toHaveLength(1);
          expect(await machine.start("reader").load()).toBe(refOfNumber(swapped.indexOf(true) + 1));
          expect(machine.crimes).toEqual([]);
          expect(await machine.files.list("/disk")).toEqual(["root"]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("takes real files that dead processes left", async () => {
    const dir = await mkdtemp(join(tmpdir(), "blob-lock-"));
    try {
      const parts = systemProcess().token.split(".");
      const dead = [...parts.slice(0, 3), "999999999", parts[4]].join(".");
      for (const name of ["root.lock", "root.lock.steal", "root.lock.steal.steal"])
        await writeFile(join(dir, name), dead);
      expect(await fileAnchorStore(join(dir, "root")).swap(undefined, refOfNumber(1))).toBe(true);
      expect(await readdir(dir)).toEqual(["root"]);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it("waits for one that lives, also for one that takes over, and names the files that are in its way", async () => {
    for (const tokens of [["alive"], ["dead", "alive"]]) {
      const machine = new Machine();
      machine.dead.add("dead");
      await machine.files.makeDir("/disk");
      const names = tokens.map((_, n) => `${path}.lock${".steal".repeat(n)}`);
      for (const [n, token] of tokens.entries()) {
        await (await machine.files.create(names[n] as string)).append(Buffer.from(token)); // as many
      }
      const begunMs = machine.clock.nowMs;
      const error = await machine
        .start("waiting")
        .swap(undefined, refOfNumber(1))
        .catch((failure: unknown) => failure);
      expect(error).toMatchObject({ name: "BlobError", code: "unavailable" });
      expect((error as Error).message).toMatch(new RegExp(`remove ${names.join(", ")}$`));
      expect(machine.clock.nowMs - begunMs).toBeGreaterThanOrEqual(10_000);
      expect(machine.crimes).toEqual([]);
      machine.dead.add("alive");
      expect(await machine.start("later").swap(undefined, refOfNumber(1))).toBe(true);
    }
  });
});
