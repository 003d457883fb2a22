import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { SegmentEnd } from "@x/topic-gateway/protocol";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type LocalSegmentLog, openLocalSegmentLog } from "../src/local.js";
import { chanceOf, Frames, lengthsOfAppend } from "./local-support.js";

let directory: string;
let store: LocalSegmentLog;
const children: Writer[] = [];
let lastNumber = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "segment-writers-"));
  store = await openLocalSegmentLog({ directory });
});

afterAll(async () => {
  for (const { child } of children) child.kill("SIGKILL");
  await rm(directory, { recursive: true, force: true });
});

/** What a writer told of one of its logs. */
interface Told {
  readonly name: string;
  readonly number: number;
  acknowledged: number;
  acknowledgements: number;
  readonly refusals: string[];
}

/** A writer in a process of its own, of one log after the other. */
class Writer {
  readonly child: ChildProcessByStdio<null, Readable, null>;
  readonly ended: Promise<void>;
  readonly logs: Told[] = [];
  readonly #first: number;
  readonly #waiting = new Set<() => void>();

  constructor(logs: number) {
    this.#first = lastNumber + 1;
    lastNumber += logs;
    const test = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
    const loading = ["--conditions", "@x/source", "--import", test("./local-child-hooks.mjs")];
    const program = [test("./local-writer-process.ts"), directory, String(this.#first), String(lastNumber)];
    this.child = spawn(process.execPath, [...loading, ...program], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(this);
    const lines = createInterface({ input: this.child.stdout });
    lines.on("line", (line) => this.#hear(line));
    this.ended = Promise.all([once(lines, "close"), once(this.child, "exit")]).then(() => {});
  }

  #hear(line: string): void {
    // A kill may have cut the last line: only one with its end mark tells something.
    const [, what, value = ""] = /^(\w+) (.*);$/.exec(line) ?? [];
    const log = this.logs.at(-1) as Told;
    if (what === "created") {
      const number = this.#first + this.logs.length;
      this.logs.push({ name: value, number, acknowledged: 0, acknowledgements: 0, refusals: [] });
    } else if (what === "refused") log.refusals.push(value);
    else if (what === "acknowledged") {
      log.acknowledged = Number(value);
      log.acknowledgements += 1;
    }
    for (const check of this.#waiting) check();
  }

  /** Resolves when it has told what is looked for. */
  told<T>(find: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const found = find();
        if (found === undefined) return;
        this.#waiting.delete(check);
        resolve(found);
      };
      this.#waiting.add(check);
      check();
      void this.ended.then(() => reject(new Error("the writer ended before")));
    });
  }

  /** Its nth log, after so many acknowledgements. */
  appended(index: number, count: number): Promise<Told> {
    return this.told(() => {
      const log = this.logs[index];
      return log && log.acknowledgements >= count ? log : undefined;
    });
  }

  refusedTwice(log: Told): Promise<true> {
    return this.told(() => (log.refusals.length === 2 ? true : undefined));
  }
}

/** Asserts that everything acknowledged is below an end, and that up to there the log is what was appended. */
async function expectSealed(log: Told, { lastSequence }: SegmentEnd): Promise<void> {
  assert.ok(
    log.acknowledged <= lastSequence,
    `${log.acknowledged} was acknowledged, ${lastSequence} is the end`,
  );
  const frames = new Frames(store.id, log.number);
  for (let append = 0; frames.frames.length < lastSequence; append++) frames.next(lengthsOfAppend(append));
  const fresh = await openLocalSegmentLog({ directory });
  await frames.expect(fresh.read(log.name, { lastSequence }), lastSequence);
}

describe("a writer in another process", () => {
  it("is refused once its log is sealed, and everything it was acknowledged is below the end", {
    timeout: 120_000,
  }, async () => {
    const chance = chanceOf(7);
    const rounds = 12;
    const writer = new Writer(rounds);
    for (let round = 0; round < rounds; round++) {
      const log = await writer.appended(round, 1 + Math.floor(chance() * 100));
      const sealers = [store, await openLocalSegmentLog({ directory })];
      const ends = await Promise.all(sealers.map((sealer) => sealer.seal(log.name)));
      await writer.refusedTwice(log);
      assert.deepEqual(log.refusals, ["log-sealed", "log-sealed"]);
      for (const end of [...ends, await store.seal(log.name)]) await expectSealed(log, end);
    }
    await writer.ended;
  });

  it("loses nothing acknowledged when it is killed in the middle", { timeout: 120_000 }, async () => {
    const chance = chanceOf(8);
    for (let round = 0; round < 4; round++) {
      const writer = new Writer(1);
      const log = await writer.appended(0, 1 + Math.floor(chance() * 100));
      // The taker need not know that the other is dead: every second one seals while it dies.
      const early = round % 2 === 0 ? store.seal(log.name) : undefined;
      writer.child.kill("SIGKILL");
      const ends = [await (early ?? store.seal(log.name))];
      await writer.ended;
      ends.push(await store.seal(log.name));
      for (const end of ends) await expectSealed(log, end);
    }
  });

  it("is refused when it wakes up after its log was sealed, or even dropped", {
    timeout: 120_000,
  }, async () => {
    const rounds = 10;
    const writer = new Writer(rounds);
    for (let round = 0; round < rounds; round++) {
      const log = await writer.appended(round, 5 + round * 7);
      writer.child.kill("SIGSTOP");
      const end = await store.seal(log.name);
      await expectSealed(log, end);
      if (round % 2 === 1) await store.drop(log.name);
      writer.child.kill("SIGCONT");
      await writer.refusedTwice(log);
      assert.deepEqual(log.refusals, ["log-sealed", "log-sealed"]);
      assert.ok(log.acknowledged <= end.lastSequence, `${log.acknowledged} <= ${end.lastSequence}`);
    }
    await writer.ended;
  });

  it("opens a new store at the same time as others, and all find each other's logs", {
    timeout: 60_000,
  }, async () => {
    const shared = join(directory, "new");
    const stores = await Promise.all(
      Array.from({ length: 8 }, () => openLocalSegmentLog({ directory: shared })),
    );
    for (const [i, creator] of stores.entries()) {
      const frames = new Frames(creator.id, i);
      const writer = await creator.create(frames.name, frames.header);
      await writer.append(frames.next([1, 2]));
      for (const other of stores) assert.equal((await other.seal(frames.name)).lastSequence, 2);
    }
    const ids = new Set(
      (await Promise.all([1, 2].map(() => openLocalSegmentLog({ directory: shared })))).map((s) => s.id),
    );
    assert.equal(ids.size, 1, "a store that is opened again has the same id each time");
  });
});
