import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { S3Client } from "@aws-sdk/client-s3";
import { type BlobStore, directoryStore, type Ref, verify } from "@x/blob-replica";
import { s3Store } from "@x/blob-replica/s3";
import { testBlob } from "@x/blob-replica/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  buildGoServer,
  goBuildTimeoutMs,
  type RunResult,
  requireServer,
  runProgram,
  startProcess,
  startVersitygw,
  type VersitygwServer,
  versitygwBuild,
} from "../src/servers/index.js";

// The examples run as a user would run them: from the built package, on real folders and a real S3 server.
const example = (name: string): string =>
  fileURLToPath(new URL(`../../../packages/blob-replica/examples/${name}.mjs`, import.meta.url));

const contents: Readonly<Record<string, Uint8Array>> = {
  empty: new Uint8Array(0),
  "one byte": testBlob(1, 1),
  "large.bin": testBlob(2, 20_000_000),
  "again/large, with a difference.bin": Buffer.concat([
    testBlob(2, 5_000_000),
    Buffer.from("!"),
    testBlob(3, 100_000),
  ]),
  "a/b/c/d/e/deep.txt": Buffer.from("deep"),
  "a/b/.hidden": Buffer.from("hidden"),
  "a.part": Buffer.from("part"),
  "gr\u00fc\u00dfe/\u043f\u0440\u0438\u0432\u0435\u0442 \u4e16\u754c \u2603 \ud83d\ude80.txt":
    Buffer.from("unicode"),
  'quotes " and \\ and \n.txt': Buffer.from("quotes"),
};
const emptyFolders = ["nothing here", "a/nothing/at all"];

describe.skipIf(!requireServer("versitygw"))("the examples of blob-replica", { timeout: 60_000 }, () => {
  let s3: VersitygwServer;
  let client: S3Client;
  let root = "";
  let folder = "";
  let small = "";
  let disks: readonly [string, string] = ["", ""];
  let bucket = "";
  let places = 0;

  beforeAll(async () => {
    await buildGoServer(versitygwBuild);
    s3 = await startVersitygw();
    await s3.createBucket("backups");
    client = new S3Client({
      endpoint: s3.endpoint,
      region: s3.region,
      forcePathStyle: true,
      credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey },
    });
    root = await mkdtemp(join(tmpdir(), "x-harness-blob-examples-"));
    folder = join(root, "photos");
    for (const each of emptyFolders) await mkdir(join(folder, each), { recursive: true });
    for (const [name, content] of Object.entries(contents)) await write(join(folder, name), content);
    small = join(root, "small");
    for (let i = 0; i < 30; i++) await write(join(small, `${i}.bin`), testBlob(100 + i, 10_000 * i));
  }, goBuildTimeoutMs);
  afterAll(async () => {
    client?.destroy();
    await s3?.stop();
    await rm(root, { recursive: true, force: true });
  });
  beforeEach(async () => {
    const place = join(root, `place-${places++}`);
    disks = [join(place, "disk1"), join(place, "disk2")];
    for (const disk of disks) await mkdir(disk, { recursive: true });
    bucket = `backups/some/prefix-${places}`;
  });

  const environment = (): NodeJS.ProcessEnv => ({
    ...process.env,
    AWS_ENDPOINT_URL: s3.endpoint,
    AWS_REGION: s3.region,
    AWS_ACCESS_KEY_ID: s3.accessKey,
    AWS_SECRET_ACCESS_KEY: s3.secretKey,
    NODE_NO_WARNINGS: undefined,
  });

  async function run(name: string, args: readonly string[], mayFail = false): Promise<RunResult> {
    const all = [example(name), ...args];
    const signal = AbortSignal.timeout(50_000);
    const result = await runProgram(process.execPath, {
      args: all,
      cwd: root,
      env: environment(),
      mayFail,
      signal,
    });
    expect(result.stderr).not.toContain("MaxListenersExceededWarning");
    return result;
  }

  async function print(name: string, args: readonly string[]): Promise<string> {
    return (await run(name, args)).stdout.toString();
  }

  /** Presses Ctrl-C when it has said this. What it had said in all. */
  async function interrupt(name: string, args: readonly string[], when: RegExp): Promise<string> {
    const child = spawn(process.execPath, [example(name), ...args], {
      env: environment(),
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 30_000,
    });
    const closed = once(child, "close");
    let said = "";
    let pressed = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        said += chunk;
        if (!pressed && when.test(said)) pressed = child.kill("SIGINT"); // a second time would end it at once
      });
    }
    expect(await closed, said).toEqual([130, null]);
    expect(said).toMatch(/^interrupted: /m);
    return said;
  }

  /** What an example says of a mistake. */
  async function complaint(name: string, args: readonly string[], code: number): Promise<string> {
    const result = await run(name, args, true);
    expect(result).toMatchObject({ code });
    return result.stderr;
  }

  function inBucket(): BlobStore {
    const [name = "", ...prefix] = bucket.split("/");
    return s3Store({ client, bucket: name, prefix: `${prefix.join("/")}/` });
  }

  /** Of a store on a disk, in order. */
  async function files(disk: string): Promise<string[]> {
    const found = await readdir(join(disk, "blobs"), { recursive: true, withFileTypes: true });
    return found
      .filter((each) => each.isFile())
      .map((each) => join(each.parentPath, each.name))
      .sort();
  }

  async function flip(path: string): Promise<void> {
    const bytes = await readFile(path);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 16; // no blob of a backup is empty
    await writeFile(path, bytes);
  }

  it("back a folder up, and restore it byte for byte from damaged disks, or from the bucket alone", async () => {
    const said = await print("backup", [folder, ...disks, bucket]);
    expect(said).toMatch(/^photos: 9 files, 25\.1 MB, as [0-9a-f]{64}\nthe bucket has everything\n$/);
    const ref = /[0-9a-f]{64}/.exec(said)?.[0] as string; // it matched above
    // What both large files begin with is stored once.
    const stored = await Promise.all(
      (await files(disks[0])).map(async (path) => (await readFile(path)).length),
    );
    expect(stored.reduce((sum, length) => sum + length, 0)).toBeLessThan(21_500_000);

    const [first, second] = [await files(disks[0]), await files(disks[1])];
    expect(first.map((path) => basename(path))).toEqual(second.map((path) => basename(path)));
    for (const [i, path] of first.entries()) if (i % 3 === 0) await flip(path);
    for (const [i, path] of second.entries()) {
      if (i % 3 === 1) await rm(path);
      if (i % 9 === 0) await flip(path);
    }
    const restored = join(root, "restored");
    expect(await print("restore", ["photos", restored, ...disks, bucket])).toMatch(
      /^9 files, 25\.1 MB\n(healed \d+ blobs of disk \d\n)+$/,
    );
    await expectSame(restored);

    for (const disk of disks) {
      await rm(disk, { recursive: true });
      await mkdir(disk);
    }
    const again = join(root, "again");
    await print("restore", [ref, again, ...disks, bucket]);
    await expectSame(again);
  });

  it("write what has changed when they back up again, and restore the latest", async () => {
    const changing = join(root, "changing");
    await write(join(changing, "same.bin"), testBlob(7, 3_000_000));
    await write(join(changing, "note.txt"), Buffer.from("one"));
    await print("backup", [changing, ...disks]);
    const before = (await files(disks[0])).length;
    await write(join(changing, "note.txt"), Buffer.from("two"));
    await rm(join(changing, "same.bin"));
    await write(join(changing, "moved/same.bin"), testBlob(7, 3_000_000));
    await print("backup", [changing, ...disks]);
    // The note, its tree, and the two maps.
    expect((await files(disks[0])).length - before).toBeLessThanOrEqual(6);
    const restored = join(root, "changed");
    await rm(join(disks[0], "names")); // the other disk has the names, too
    await print("restore", ["changing", restored, ...disks]);
    expect((await readdir(restored, { recursive: true })).sort()).toEqual([
      "moved",
      "moved/same.bin",
      "note.txt",
    ]);
    expect(await readFile(join(restored, "note.txt"), "utf8")).toBe("two");
    expect(Buffer.compare(await readFile(join(restored, "moved/same.bin")), testBlob(7, 3_000_000))).toBe(0);
  });

  it("verify and heal every store, and say what cannot be healed", async () => {
    await print("backup", [small, ...disks, bucket]);
    const [first, second] = [await files(disks[0]), await files(disks[1])];
    for (const path of first.slice(0, 20)) await flip(path);
    for (const path of second.slice(10, 30)) await rm(path);
    const objects = join(s3.bucketFolder("backups"), ...bucket.split("/").slice(1));
    const names = (await readdir(objects)).sort();
    expect(names).toEqual(first.map((path) => basename(path)));
    for (const name of names.slice(25, 35)) await flip(join(objects, name));
    const lines = (await print("verify-and-heal", [...disks, bucket])).split("\n");
    expect(lines[0]).toBe(
      `disk 1: ${first.length} blobs, 20 bad, 20 of them healed; 0 missing, 0 of them copied`,
    );
    // What was read to heal the first was healed itself, where it was missing.
    expect(lines[1]).toMatch(
      /^disk 2: \d+ blobs, 0 bad, 0 of them healed; (\d+) missing, \1 of them copied$/,
    );
    // So were those of the bucket that were read for what the second lacks: five of its ten at most.
    const [, bad] =
      /^bucket: \d+ blobs, (\d+) bad, \1 of them healed; 0 missing, 0 of them copied$/.exec(lines[2] ?? "") ??
      [];
    expect(["5", "6", "7", "8", "9", "10"], lines[2]).toContain(bad);
    expect(lines[2]).toContain(`bucket: ${first.length} blobs`);
    expect(lines.slice(3)).toEqual(["every store has everything, whole", ""]);
    for (const store of [...disks.map((disk) => directoryStore(disk)), inBucket()]) {
      expect(await verify(store)).toMatchObject({ sound: true, checked: first.length, bad: [] });
    }

    const lost = first[0] as string; // there are some
    for (const path of [lost, second[0] as string, join(objects, basename(lost))]) await flip(path);
    const { code, stdout } = await run("verify-and-heal", [...disks, bucket], true);
    expect(code).toBe(1);
    expect(stdout.toString().match(new RegExp(`  ${basename(lost)} is corrupt: `, "g"))).toHaveLength(3);
    expect(stdout.toString()).toMatch(/not everything is well\n$/);
  });

  it("tell what is behind, and go on with it: after an interrupted backup, while the bucket is away, and when it is back", async (test) => {
    await s3.kill("SIGKILL");
    try {
      const backup = await interrupt(
        "backup",
        [small, ...disks, bucket],
        /^the bucket is \d+ blobs and .* behind$/m,
      );
      expect(backup).toMatch(/^small: 30 files, /m);
      const behind = await interrupt("behind", [...disks, bucket], /failed \d+ times/);
      const [, count] =
        /^bucket is (\d+) blobs and [\d.]+ MB behind, for \d+ s, since [0-9a-f]{12}/m.exec(behind) ?? [];
      expect(Number(count)).toBe((await files(disks[0])).length);
      const last = await startProcess(example("behind"), {
        args: [...disks, bucket],
        env: environment(),
        ready: /^bucket is \d+ blobs/,
        test,
      });
      await s3.restart();
      await last.waitForLine(/^nothing is behind$/);
      expect(await last.exited).toMatchObject({ code: 0 });
    } finally {
      if (!s3.running) await s3.restart();
    }
    const refs: Ref[] = [];
    for await (const ref of inBucket().listRefs()) refs.push(ref);
    expect(refs).toEqual((await files(disks[0])).map((path) => basename(path)));
    expect(await verify(inBucket())).toMatchObject({ sound: true });
    expect(await print("behind", [...disks, bucket])).toBe(
      "bucket is 0 blobs and 0 bytes behind\nnothing is behind\n",
    );
  });

  it("say how they are used, and what is wrong", async () => {
    for (const name of ["backup", "restore", "verify-and-heal", "behind"]) {
      expect(await complaint(name, [], 2)).toMatch(new RegExp(`^usage: node ${name}.mjs [A-Z|]+ `, "m"));
    }
    const nowhere = join(root, "nowhere");
    expect(await complaint("backup", [nowhere, ...disks], 1)).toContain(`${nowhere} is no folder`);
    expect(await complaint("backup", [folder, disks[0], nowhere], 1)).toContain(`${nowhere} is no folder`);
    const out = join(root, "out");
    expect(await complaint("restore", ["nothing", out, ...disks], 1)).toContain(
      'not-found: no backup is called "nothing"',
    );
    expect(await complaint("restore", ["0".repeat(64), out, ...disks], 1)).toContain(
      "not-found: no store has the blob",
    );
    expect(await complaint("restore", ["photos", folder, ...disks], 1)).toContain("is not empty");
    const wrong = await runProgram(process.execPath, {
      args: [example("verify-and-heal"), ...disks, bucket],
      env: { ...environment(), AWS_SECRET_ACCESS_KEY: "wrong" },
      mayFail: true,
    });
    expect(wrong.code).toBe(1);
    expect(wrong.stdout.toString()).toMatch(
      /bucket: .*\n {2}ended early: BlobError: .*SignatureDoesNotMatch 403/,
    );
  });

  async function expectSame(restored: string): Promise<void> {
    const listed = (path: string) => readdir(path, { recursive: true }).then((names) => names.sort());
    expect(await listed(restored)).toEqual(await listed(folder));
    for (const [name, content] of Object.entries(contents)) {
      expect(Buffer.compare(await readFile(join(restored, name)), content), name).toBe(0);
    }
  }
});

async function write(path: string, content: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
