import { sleep } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { ConnectionError } from "../src/sim/connection.js";
import type { Service } from "../src/sim/network.js";
import type { Environment } from "../src/sim/node.js";
import { SeededRandom } from "../src/sim/random.js";
import { Scheduler, SimulationError } from "../src/sim/scheduler.js";
import { World } from "../src/sim/world.js";

async function advance(world: World, ms: number): Promise<void> {
  const untilMs = world.scheduler.nowMs + ms;
  let isOver = false;
  world.scheduler.after(ms, "the test looks", () => {
    isOver = true;
  });
  await world.scheduler.run({ until: () => isOver, deadlineMs: untilMs });
}

/** A node whose program hands its environment out and then waits for ever. */
function idleNode(world: World, name: string): { environments: Environment[] } {
  const environments: Environment[] = [];
  world
    .addNode(name, name, (environment) => {
      environments.push(environment);
      return new Promise(() => {});
    })
    .start();
  return { environments };
}

function latest({ environments }: { environments: Environment[] }): Environment {
  return environments.at(-1) as Environment;
}

describe("the seeded random numbers", () => {
  it("are those of xoshiro128** 1.1", () => {
    const random = new SeededRandom("any", [1, 2, 3, 4]);
    const words = Buffer.from(random.bytes(16));
    // The test vector that the Rust crate rand_xoshiro took from the authors' C source.
    expect([0, 4, 8, 12].map((at) => words.readUInt32LE(at))).toEqual([11520, 0, 5927040, 70819200]);
  });

  it("differ between streams, and do not depend on the order in which streams are made", () => {
    const parent = new SeededRandom("seed 1");
    const first = parent.fork("a").number();
    const other = new SeededRandom("seed 1");
    other.number();
    other.fork("b").number();
    expect(other.fork("a").number()).toBe(first);
    expect(parent.fork("b").number()).not.toBe(first);
  });
});

describe("the scheduler", () => {
  it("runs events by time, and those of one time in the order of their planning", async () => {
    const scheduler = new Scheduler();
    const seen: string[] = [];
    for (const [at, name] of [
      [5, "c"],
      [1, "a"],
      [5, "d"],
      [2, "b"],
    ] as const) {
      scheduler.after(at, name, () => seen.push(`${name}@${scheduler.nowMs}`));
    }
    await scheduler.run({ until: () => seen.length === 4 });
    expect(seen).toEqual(["a@1", "b@2", "c@5", "d@5"]);
  });

  it("lets everything that an event made runnable run before the next event", async () => {
    const scheduler = new Scheduler();
    const seen: string[] = [];
    scheduler.after(1, "first", () => {
      void (async () => {
        for (let i = 0; i < 100; i++) await undefined;
        seen.push("the end of a long chain of promises");
      })();
    });
    scheduler.after(1, "second", () => seen.push("second"));
    await scheduler.run({ until: () => seen.length === 2 });
    expect(seen).toEqual(["the end of a long chain of promises", "second"]);
  });

  it("does not run an event that was taken back", async () => {
    const scheduler = new Scheduler();
    let ran = false;
    scheduler.after(1, "taken back", () => {
      ran = true;
    })();
    let isOver = false;
    scheduler.after(2, "end", () => {
      isOver = true;
    });
    await scheduler.run({ until: () => isOver });
    expect(ran).toBe(false);
  });

  it("says when nothing is planned any more", async () => {
    const scheduler = new Scheduler();
    await expect(scheduler.run({ until: () => false })).rejects.toThrow(SimulationError);
  });

  it("says when time does not go on", async () => {
    const scheduler = new Scheduler({ maxEvents: 1000 });
    const again = (): void => {
      scheduler.after(0, "again", again);
    };
    again();
    await expect(scheduler.run({ until: () => false })).rejects.toThrow("livelock");
  });
});

describe("a simulated process", () => {
  it("has timers that follow its own clock", async () => {
    const world = new World({ seed: 1 });
    const { clock } = latest(idleNode(world, "a")).process;
    const before = clock.monotonicMs();
    let firedAfterMs = -1;
    clock.setTimer(1000, () => {
      firedAfterMs = clock.monotonicMs() - before;
    });
    await advance(world, 1100);
    expect(firedAfterMs).toBeGreaterThanOrEqual(1000);
    expect(firedAfterMs).toBeLessThan(1010);
  });

  it("never runs again once it was killed, and its supervisor's next start is another process", async () => {
    const world = new World({ seed: 1 });
    const node = idleNode(world, "a");
    const { process } = latest(node);
    let ran = 0;
    process.clock.setTimer(10, () => {
      ran += 1;
    });
    world.nodes.get("a")?.kill();
    await advance(world, 100);
    expect(ran).toBe(0);
    world.nodes.get("a")?.start();
    expect(latest(node).process.id).toBe("a#2");
  });

  it("runs what it missed, in order, when it goes on after a stop", async () => {
    const world = new World({ seed: 1 });
    const { process } = latest(idleNode(world, "a"));
    const seen: string[] = [];
    const note = (what: string) => () => seen.push(`${what}@${Math.floor(world.scheduler.nowMs)}`);
    process.clock.setTimer(10, note("first"));
    process.clock.setTimer(20, note("second"));
    const takenBack = process.clock.setTimer(30, note("taken back"));
    process.stop();
    await advance(world, 100);
    expect(seen).toEqual([]);
    takenBack();
    process.continue();
    await advance(world, 1);
    expect(seen).toEqual(["first@100", "second@100"]);
  });

  it("is started again when its program fails", async () => {
    const world = new World({ seed: 1 });
    let starts = 0;
    world
      .addNode("a", "a", async ({ process }) => {
        starts += 1;
        await sleep(process.clock, 10);
        throw new Error("bug");
      })
      .start();
    await advance(world, 5000);
    expect(starts).toBeGreaterThan(2);
    expect(world.failures[0]).toMatchObject({ process: "a#1", error: { message: "bug" } });
  });

  it("loses what it wrote without a sync in a power cut, and keeps what it synced", async () => {
    const lost: boolean[] = [];
    for (let seed = 0; seed < 20; seed++) {
      const world = new World({ seed });
      const node = idleNode(world, "a");
      const write = async (name: string, isSynced: boolean): Promise<void> => {
        const { fileSystem } = latest(node);
        const file = await fileSystem.open(name, "create");
        await fileSystem.syncDirectory("/");
        await file.write([Buffer.from("content")], 0);
        if (isSynced) await file.datasync();
      };
      void write("/synced", true);
      void write("/unsynced", false);
      await advance(world, 1000);
      world.powerCut("a");
      await advance(world, 1000);
      world.powerOn("a");
      expect(world.disk("a").content("/synced")?.toString()).toBe("content");
      lost.push(world.disk("a").content("/unsynced")?.toString() !== "content");
    }
    expect(lost).toContain(true);
  });
});

describe("the network", () => {
  /** Counts up from what is asked, with a pause of 1 ms. */
  const counter = (server: { environments: Environment[] }): Service =>
    async function* (_method, request, { signal }) {
      for (let n = request as number; ; n++) {
        await sleep(latest(server).process.clock, 1, signal);
        yield n;
      }
    };

  function pair(world: World): { client: Environment; server: { environments: Environment[] } } {
    const server = idleNode(world, "server");
    world.network.listen(latest(server).process, "server:1", counter(server));
    return { client: latest(idleNode(world, "client")), server };
  }

  function collect(world: World, client: Environment, signal?: AbortSignal) {
    const seen: unknown[] = [];
    const result = { seen, error: undefined as unknown };
    void (async () => {
      const request = { method: "count", body: 1, ...(signal && { signal }) };
      for await (const item of world.network.call(client.process, "server:1", request)) seen.push(item);
    })().catch((error: unknown) => {
      result.error = error;
    });
    return result;
  }

  it("delivers a stream in order, whatever its messages' latencies are", async () => {
    const world = new World({ seed: 1 });
    const { client } = pair(world);
    const { seen } = collect(world, client);
    await advance(world, 2000);
    expect(seen.length).toBeGreaterThan(100);
    expect(seen).toEqual(seen.map((_, index) => index + 1));
  });

  it("holds a stream up whose reader does not take, and goes on when it does", async () => {
    const world = new World({ seed: 1 });
    const { client, server } = pair(world);
    let sent = 0;
    world.network.listen(latest(server).process, "server:1", async function* () {
      for (;;) {
        sent += 1;
        yield sent;
      }
    });
    const answers = world.network.call(client.process, "server:1", { method: "count", body: 1 });
    void answers.next();
    await advance(world, 1000);
    expect(sent).toBeGreaterThan(1);
    expect(sent).toBeLessThan(100);
    const before = sent;
    for (let taken = 0; taken < 8; taken++) void answers.next();
    await advance(world, 1000);
    expect(sent).toBe(before + 8);
  });

  it("stalls a stream while its ends are parted, and delivers what waited when they meet again soon", async () => {
    const world = new World({ seed: 1 });
    const { client } = pair(world);
    const { seen } = collect(world, client);
    await advance(world, 500);
    world.network.partition("client", "server", "blackhole");
    await advance(world, 100);
    const before = seen.length;
    await advance(world, 1000);
    expect(seen.length).toBe(before);
    world.network.heal("client", "server");
    await advance(world, 1000);
    expect(seen.length).toBeGreaterThan(before);
    expect(seen).toEqual(seen.map((_, index) => index + 1));
  });

  it("fails a stream some seconds into a partition, on both sides", async () => {
    const world = new World({ seed: 1 });
    const { client, server } = pair(world);
    let isServing = false;
    world.network.listen(latest(server).process, "server:1", async function* (_method, _request, { signal }) {
      isServing = true;
      signal.addEventListener("abort", () => {
        isServing = false;
      });
      yield 1;
      await new Promise(() => {});
    });
    const result = collect(world, client);
    await advance(world, 100);
    expect(isServing).toBe(true);
    world.network.partition("client", "server", "stall");
    await advance(world, 20_000);
    expect(result.error).toBeInstanceOf(ConnectionError);
    expect(isServing).toBe(false);
  });

  it("fails a stream whose server was killed, and refuses new ones until somebody listens again", async () => {
    const world = new World({ seed: 1 });
    const { client } = pair(world);
    const result = collect(world, client);
    await advance(world, 100);
    world.nodes.get("server")?.kill();
    await advance(world, 200);
    expect(result.error).toBeInstanceOf(ConnectionError);
    const refused = collect(world, client);
    await advance(world, 200);
    expect(refused.error).toBeInstanceOf(ConnectionError);
  });

  it("tells nobody at once that a host has lost its power", async () => {
    const world = new World({ seed: 1 });
    const { client } = pair(world);
    const result = collect(world, client);
    await advance(world, 100);
    world.powerCut("server");
    await advance(world, 400);
    expect(result.error).toBeUndefined();
    await advance(world, 20_000);
    expect(result.error).toBeInstanceOf(ConnectionError);
  });

  it("tells the server that its caller has left", async () => {
    const world = new World({ seed: 1 });
    const { client, server } = pair(world);
    let reason: unknown;
    world.network.listen(latest(server).process, "server:1", async function* (_method, _request, { signal }) {
      signal.addEventListener("abort", () => {
        reason = signal.reason;
      });
      yield 1;
      await new Promise(() => {});
    });
    const leave = new AbortController();
    const result = collect(world, client, leave.signal);
    await advance(world, 100);
    leave.abort(new Error("left"));
    await advance(world, 200);
    expect(result.error).toMatchObject({ message: "left" });
    expect(reason).toBeInstanceOf(ConnectionError);
  });

  it("carries an error of the service to the caller", async () => {
    const world = new World({ seed: 1 });
    const { client, server } = pair(world);
    const failure = new RangeError("no such thing");
    // biome-ignore lint/correctness/useYield: it fails before it yields.
    world.network.listen(latest(server).process, "server:1", async function* () {
      throw failure;
    });
    const result = collect(world, client);
    await advance(world, 200);
    expect(result.error).toBe(failure);
  });
});
