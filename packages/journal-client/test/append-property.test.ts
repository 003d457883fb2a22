import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import {
  AppendService,
  type AsyncAppend,
  isJournalError,
  JournalError,
  type OpFuture,
  OpFutures,
  type SpillFiles,
} from "../src/index.js";
import { counting, FakeBroker, type Fault, HastyClock, type Rpc, unavailable } from "./append-support.js";

// Random programs over some journals, against the simplest model: each journal is the contents of its released appends, in the order of
// startAppend.

const JOURNALS = 3;

type Command =
  | {
      readonly do: "start";
      readonly journal: number;
      readonly dependencies: "none" | "barrier" | readonly number[];
    }
  | { readonly do: "write"; readonly op: number; readonly size: number }
  | { readonly do: "release" | "roll back"; readonly op: number }
  | { readonly do: "wait"; readonly turns: number };

const op = fc.nat(1000);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("start" as const),
      journal: fc.nat(JOURNALS - 1),
      dependencies: fc.oneof(
        { weight: 4, arbitrary: fc.constant("none" as const) },
        { weight: 1, arbitrary: fc.constant("barrier" as const) },
        { weight: 2, arbitrary: fc.array(op, { minLength: 1, maxLength: 3 }) },
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      op,
      size: fc.oneof(
        { weight: 4, arbitrary: fc.integer({ min: 1, max: 900 }) },
        { weight: 1, arbitrary: fc.integer({ min: 8_000, max: 20_000 }) },
      ),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("release" as const), op }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("roll back" as const), op }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("wait" as const), turns: fc.integer({ min: 1, max: 4 }) }),
  },
);

const CLEAN: readonly (Fault | undefined)[] = [
  undefined,
  undefined,
  { at: "write", error: unavailable() },
  { at: "commit", error: unavailable() },
  { at: "commit", error: new JournalError("invalid-response", "nonsense") },
  { at: "commit", status: "NOT_JOURNAL_PRIMARY_BROKER" },
  { at: "early", status: "INSUFFICIENT_JOURNAL_BROKERS" },
];
const DIRTY: readonly (Fault | undefined)[] = [...CLEAN, { at: "after-commit", error: unavailable() }];

/** Files in memory whose every third operation fails for a while. */
function flakyFiles(faults: string[]): SpillFiles {
  let operations = 0;
  const step = async (): Promise<void> => {
    await new Promise(setImmediate);
    operations++;
    if (operations % 3 === 0 && operations < 40) throw new Error("now and then");
  };
  return {
    sweep: async () => {},
    create: async () => {
      await step();
      const bytes = Buffer.alloc(256 * 1024);
      let closed = false;
      const use = (): void => void (closed && faults.push("used when it was closed"));
      return {
        write: async (parts, position) => {
          const content = Buffer.concat(parts);
          content.copy(bytes, position);
          use();
          await step();
          use();
        },
        read: async (into, position) => {
          await step();
          use();
          into.set(bytes.subarray(position, position + into.length));
        },
        close: async () => {
          use();
          closed = true;
        },
      };
    },
  };
}

interface Model {
  readonly op: AsyncAppend;
  readonly journal: string;
  readonly dependencies: readonly number[];
  content: string;
  state: "writing" | "released" | "rolled back";
}

interface Scene {
  readonly broker: FakeBroker;
  readonly service: AppendService;
  readonly models: Model[];
  /** Of each journal, what was committed by which RPC, and when RPCs began and committed, in steps of one counter. */
  readonly committed: Map<string, { readonly text: string; readonly began: number; readonly at: number }[]>;
  /** Bytes in memory, at most, and what they may be. */
  readonly memory: { most: number; readonly limit: number };
  /** What was done to files that must not be. */
  readonly faults: readonly string[];
}

interface Limits {
  readonly cutoffBytes: number;
  readonly memoryBytes: number;
  readonly spilling: boolean;
}

function setUp(
  faults: readonly (Fault | undefined)[],
  { cutoffBytes, memoryBytes, spilling }: Limits,
): Scene {
  const broker = new FakeBroker();
  const committed: Scene["committed"] = new Map();
  const began = new Map<Rpc, number>();
  let now = 0;
  broker.plan = (rpc) => {
    began.set(rpc, ++now);
    broker.gate = rpc.index % 3 === 0 ? new Promise((resolve) => setImmediate(resolve)) : Promise.resolve();
    return faults[rpc.index];
  };
  const memory = { most: 0, limit: 2 * memoryBytes + (spilling ? 4096 : 0) };
  const wrong: string[] = [];
  broker.flow = async ({ index }) => {
    memory.most = Math.max(memory.most, service.usage.memoryBytes);
    for (let turn = 0; turn < index % 4; turn++) await new Promise(setImmediate);
  };
  broker.sink = (rpc) => {
    const { journal } = rpc.request;
    const list = committed.get(journal) ?? [];
    list.push({ text: Buffer.concat(rpc.chunks).toString(), began: began.get(rpc) as number, at: ++now });
    committed.set(journal, list);
  };
  const service = new AppendService(broker, {
    clock: new HastyClock(),
    random: counting(),
    cutoffBytes,
    maxMemoryBytes: memoryBytes,
    ...(spilling ? { spill: { dir: "somewhere", maxBytes: 256 * 1024 }, fileSystem: flakyFiles(wrong) } : {}),
  });
  return { broker, service, models: [], committed, memory, faults: wrong };
}

async function run(scene: Scene, commands: readonly Command[]): Promise<void> {
  const { service, models } = scene;
  const pick = (index: number): Model | undefined => models[index % Math.max(1, models.length)];
  for (const each of commands) {
    if (each.do === "wait") {
      for (let turn = 0; turn < each.turns; turn++) await new Promise(setImmediate);
    } else if (each.do === "start") {
      const journal = `journal/${each.journal}`;
      let dependencies: number[] = [];
      let futures: ReadonlySet<OpFuture> | undefined;
      if (each.dependencies === "barrier") {
        dependencies = models.flatMap((model, index) => (model.journal === journal ? [] : [index]));
        futures = service.pendingExcept(journal);
      } else if (each.dependencies !== "none" && models.length > 0) {
        dependencies = each.dependencies.map((index) => index % models.length);
        futures = new OpFutures(dependencies.map((index) => (models[index] as Model).op));
      }
      const started = service.startAppend({ journal }, futures);
      models.push({ op: started, journal, dependencies, content: "", state: "writing" });
    } else {
      const model = pick(each.op);
      if (model?.state !== "writing") continue;
      if (each.do === "write") {
        const text = `<${models.indexOf(model)}:${"x".repeat(each.size)}>`;
        try {
          model.op.writer.write(text);
          model.content += text;
          scene.memory.most = Math.max(scene.memory.most, service.usage.memoryBytes);
        } catch (error) {
          assert.ok(isJournalError(error, "buffer-full"));
          assert.throws(
            () => model.op.release(),
            (thrown) => thrown === error,
          );
          model.state = "rolled back";
        }
      } else if (each.do === "release") {
        model.op.release();
        model.state = "released";
      } else {
        assert.throws(() => model.op.require(new Error("whoops")).release(), /whoops/);
        model.state = "rolled back";
      }
    }
  }
  for (const model of models) {
    if (model.state !== "writing") continue;
    model.op.release();
    model.state = "released";
  }
  for (const { op, state } of models) {
    const error = await op.err();
    assert.equal(error === undefined, state === "released");
  }
  await service.close();
}

function check({ models, committed, service, memory, faults }: Scene): void {
  assert.ok(memory.most <= memory.limit, `${memory.most} bytes were in memory`);
  assert.deepEqual(faults, []);
  const at = new Map<Model, { readonly began: number; readonly at: number }>();
  for (let number = 0; number < JOURNALS; number++) {
    const journal = `journal/${number}`;
    const released = models.filter((model) => model.journal === journal && model.state === "released");
    const rpcs = committed.get(journal) ?? [];
    assert.equal(rpcs.map(({ text }) => text).join(""), released.map(({ content }) => content).join(""));
    // Whole appends only: each ends where it has to, or the end of an RPC is in the middle of one.
    const ends = new Set<number>([0]);
    let length = 0;
    for (const rpc of rpcs) {
      length += rpc.text.length;
      ends.add(length);
    }
    let end = 0;
    const boundaries = new Set<number>([0]);
    for (const model of released) {
      end += model.content.length;
      boundaries.add(end);
    }
    for (const each of ends) assert.ok(boundaries.has(each), `an append of ${journal} was cut in two`);
    // When each was committed. Those without bytes are anywhere.
    let rpc = 0;
    let until = rpcs[0]?.text.length ?? 0;
    end = 0;
    for (const model of released) {
      end += model.content.length;
      while (end > until) until += rpcs[++rpc]?.text.length ?? Number.POSITIVE_INFINITY;
      if (model.content.length > 0) at.set(model, rpcs[rpc] as { began: number; at: number });
    }
  }
  for (const [model, mine] of at)
    for (const index of model.dependencies) {
      const theirs = at.get(models[index] as Model);
      if (theirs !== undefined)
        assert.ok(theirs.at < mine.began, "an append began before what it depends on was done");
    }
  assert.deepEqual(service.usage, { memoryBytes: 0, spilledBytes: 0 });
}

const program = fc.record({
  commands: fc.array(command, { minLength: 1, maxLength: 80 }),
  cutoffBytes: fc.constantFrom(1, 500, 64 * 1024),
  memoryBytes: fc.constantFrom(8 * 1024, 128 * 1024),
  spilling: fc.boolean(),
});
const faults = (from: readonly (Fault | undefined)[]): fc.Arbitrary<(Fault | undefined)[]> =>
  fc.array(fc.constantFrom(...from), { maxLength: 40 });

describe("AppendService, random programs", () => {
  it("commits each released append exactly once, whole, in order and after its dependencies, while faults are clean", async () => {
    await fc.assert(
      fc.asyncProperty(program, faults(CLEAN), async ({ commands, ...limits }, planned) => {
        const scene = setUp(planned, limits);
        await run(scene, commands);
        check(scene);
      }),
      { numRuns: 400 },
    );
  }, 60_000);

  it("repeats whole batches only, at once, when brokers fail behind their commit", async () => {
    await fc.assert(
      fc.asyncProperty(program, faults(DIRTY), async ({ commands, ...limits }, planned) => {
        const scene = setUp(planned, limits);
        await run(scene, commands);
        for (const [journal, rpcs] of scene.committed) {
          scene.committed.set(
            journal,
            rpcs.filter(({ text }, index) => text === "" || text !== rpcs[index + 1]?.text),
          );
        }
        check(scene);
      }),
      { numRuns: 200 },
    );
  }, 60_000);
});
