import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, it } from "vitest";
import { openEmbeddedCoord } from "../src/embedded.js";
import { CoordError } from "../src/errors.js";
import { transpileInto } from "./support/transpile.js";

let folder: string;
let program: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "coord-kill-"));
  const source = fileURLToPath(new URL("./support/writer-process.ts", import.meta.url));
  program = await transpileInto(folder, source);
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

/** One acknowledgement that the child told of. */
interface Told {
  readonly writer: number;
  readonly number: number;
  readonly revision: bigint;
}

function start(
  directory: string,
  firstNumber: number,
): ChildProcess & { readonly stdout: NodeJS.ReadableStream } {
  const child = spawn(process.execPath, [program, directory, String(firstNumber)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

async function* toldBy(child: {
  readonly stdout: NodeJS.ReadableStream;
}): AsyncGenerator<Told, void, undefined> {
  for await (const line of createInterface({ input: child.stdout })) {
    // The kill may have cut the last line: only one with its end mark tells something.
    const match = /^(\d+) (\d+) (\d+);$/.exec(line);
    if (match !== null)
      yield { writer: Number(match[1]), number: Number(match[2]), revision: BigInt(match[3]!) };
  }
}

describe("kill -9 while writing as fast as it goes", () => {
  it("loses nothing acknowledged, kill after kill", { timeout: 120_000 }, async () => {
    const directory = join(folder, "killed");
    let nextNumber = 0;
    let newest = 0n;
    for (const count of [1, 200, 3000, 777, 5000, 50]) {
      const told: Told[] = [];
      const child = start(directory, nextNumber);
      for await (const one of toldBy(child)) {
        told.push(one);
        if (told.length === count) child.kill("SIGKILL");
      }
      assert.ok(told.length >= count);
      const coord = await openEmbeddedCoord({ directory });
      const { revision, kvs } = await coord.get({ prefix: "writer/" });
      const history = await historyOf(coord);
      const values = new Map(kvs.map((kv) => [kv.key, new TextDecoder().decode(kv.value)]));
      for (const { writer, number, revision: at } of told) {
        assert.ok(at > newest, "a revision was given twice, or went back");
        assert.ok(at <= revision);
        const [, found] = values.get(`writer/${writer}`)?.split(" ") ?? [];
        assert.ok(Number(found) >= number, `writer ${writer} was told of ${number}, the store has ${found}`);
        if (history.has(at)) assert.equal(history.get(at), `${writer} ${number}`);
      }
      nextNumber = Math.max(...[...values.values()].map((value) => Number(value.split(" ")[1]))) + 1;
      newest = revision;
      await coord.close();
    }
  });

  it("acknowledges nothing in the old process once another has opened the folder", {
    timeout: 60_000,
  }, async () => {
    const directory = join(folder, "fenced");
    const child = start(directory, 0);
    let taken: { readonly values: Map<string, string>; readonly revision: bigint } | undefined;
    const told: Told[] = [];
    const exit = new Promise<number | null>((resolve) => child.once("exit", resolve));
    for await (const one of toldBy(child)) {
      told.push(one);
      if (told.length !== 500) continue;
      const coord = await openEmbeddedCoord({ directory });
      const { revision, kvs } = await coord.get({ prefix: "" });
      taken = { revision, values: new Map(kvs.map((kv) => [kv.key, new TextDecoder().decode(kv.value)])) };
      await coord.close();
    }
    assert.equal(await exit, 3, "the child ends because it is fenced");
    assert.ok(taken !== undefined);
    for (const { writer, number, revision } of told) {
      assert.ok(revision <= taken.revision);
      assert.ok(Number(taken.values.get(`writer/${writer}`)?.split(" ")[1]) >= number);
    }
  });
});

/** What each revision that is kept has put. */
async function historyOf(coord: Awaited<ReturnType<typeof openEmbeddedCoord>>): Promise<Map<bigint, string>> {
  const history = new Map<bigint, string>();
  const { revision } = await coord.txn({ then: [{ type: "put", key: "writer/end", value: "end 0" }] });
  await coord.txn({ then: [{ type: "delete", key: "writer/end" }] });
  let fromRevision = 1n;
  try {
    await coord.get({ key: "x" }, { revision: 1n });
  } catch (error) {
    if (!(error instanceof CoordError) || error.compactRevision === undefined) throw error;
    fromRevision = error.compactRevision;
  }
  for await (const batch of coord.watch({ prefix: "writer/" }, { fromRevision })) {
    if (batch.revision === revision) break;
    const [event] = batch.events;
    if (event?.type === "put") history.set(batch.revision, new TextDecoder().decode(event.kv.value));
  }
  return history;
}
