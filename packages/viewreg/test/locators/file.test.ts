import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FileLocatorOptions, type FileSource, fileLocator } from "../../src/locators/file.js";
import { at, FakeClock, Reader, settled, until } from "./support.js";

/** One file in memory, and who watches it. */
class FakeFile implements FileSource {
  content: string | Uint8Array | Error = "[]";
  reads = 0;
  readonly watching: Set<() => void> = new Set();

  async read(_: string, { maxBytes }: { maxBytes: number }): Promise<Uint8Array> {
    this.reads++;
    if (this.content instanceof Error) throw this.content;
    const bytes = typeof this.content === "string" ? Buffer.from(this.content) : this.content;
    if (bytes.length > maxBytes) throw new Error("too long");
    return bytes;
  }

  watch(_: string, onChange: () => void): () => void {
    this.watching.add(onChange);
    return () => this.watching.delete(onChange);
  }

  write(content: string | Uint8Array | Error): void {
    this.content = content;
    for (const tell of this.watching) tell();
  }
}

describe("a locator by file", { timeout: 60_000 }, () => {
  let clock: FakeClock;
  let file: FakeFile;

  beforeEach(() => {
    clock = new FakeClock();
    file = new FakeFile();
  });

  const locator = (options: FileLocatorOptions = {}) =>
    fileLocator("/endpoints.json", { files: file, clock, ...options });

  it("reads both kinds of entries, each host and port once", async () => {
    file.content =
      '["a:1", {"host":"::1","port":2,"labels":{"zone":"x"}}, "[::1]:2", {"host":"b","port":3,"labels":{"__proto__":"p"}}]';
    await using reader = new Reader(locator());
    await settled();
    expect(reader.told).toEqual(["[::1]:2 a:1 b:3"]);
    expect(reader.sets[0]).toContainEqual(at("::1", 2));
    expect(Object.entries(reader.sets[0]?.at(-1)?.labels ?? {})).toEqual([["__proto__", "p"]]);
  });

  it("reads again 50 ms after it was told of a change, once for many, and tells only changes of the set", async () => {
    file.content = '["a:1","b:2"]';
    await using reader = new Reader(locator());
    await settled();
    for (let round = 0; round < 10; round++) file.write('["c:3"]');
    await clock.advance(49);
    expect(file.reads).toBe(1);
    await clock.advance(1);
    expect(file.reads).toBe(2);
    file.write('[ "c:3", "c:3" ]');
    await clock.advance(50);
    expect(reader.told).toEqual(["a:1 b:2", "c:3"]);
  });

  it("looks every 5 s when nobody tells it anything", async () => {
    await using reader = new Reader(locator());
    await settled();
    file.content = '["a:1"]';
    await clock.advance(4_999);
    expect(reader.told).toEqual([""]);
    await clock.advance(1);
    expect(reader.told).toEqual(["", "a:1"]);
  });

  it("gives a half-written file a second to be finished", async () => {
    file.content = '["a:1"]';
    await using reader = new Reader(locator());
    await settled();
    file.write("");
    await clock.advance(100);
    file.write('["b:2", "c:');
    await clock.advance(800);
    file.write('["b:2", "c:3"]');
    await clock.advance(50);
    expect([reader.told, reader.ended]).toEqual([["a:1", "b:2 c:3"], false]);
  });

  it.each<[string, string | Uint8Array]>([
    ["empty", ""],
    ["garbage", "{{"],
    ["not UTF-8", new Uint8Array([0x22, 0xff, 0x22])],
    ["an object", '{"endpoints":[]}'],
    ["null", "null"],
    ["an entry that is no endpoint", '["a:1", 7]'],
    ["a port that is none", '["a:1", {"host":"a","port":"1"}]'],
    ["a host that is none", '["a/b:1"]'],
    ["labels that are none", '[{"host":"a","port":1,"labels":{"x":1}}]'],
    ["far too many", JSON.stringify(Array.from({ length: 100_001 }, () => "a:1"))],
    ["nested beyond reason", "[".repeat(1_000_000)],
  ])("throws bad-source when the file is %s, and tells nothing of it", async (_, content) => {
    file.content = '["a:1"]';
    const reader = new Reader(locator());
    await settled();
    file.write(content);
    await clock.advance(1_100);
    await reader.done();
    expect(reader.told).toEqual(["a:1"]);
    expect(reader.error).toMatchObject({ code: "bad-source", message: /endpoints\.json/ });
    expect([clock.timers, file.watching.size]).toEqual([0, 0]);
  });

  it("says which entry is bad", async () => {
    file.content = '["a:1", "b:99999"]';
    const reader = new Reader(locator());
    await clock.advance(1_000);
    expect(reader.error).toMatchObject({
      message: /^entry 1 of "\/endpoints.json" is no endpoint: "b:99999"/,
    });
  });

  it("throws unavailable when the file can't be read or is too long", async () => {
    const refused = new Error("EACCES");
    for (const [content, options] of [
      [refused, {}],
      ['["a:1"]', { maxBytes: 3 }],
    ] as const) {
      file.content = content;
      const reader = new Reader(locator(options));
      await clock.advance(1_000);
      await reader.done();
      expect(reader.error).toMatchObject({ code: "unavailable" });
    }
  });

  it("stops watching when it is left", async () => {
    const reader = new Reader(locator());
    await settled();
    expect(file.watching.size).toBe(1);
    await reader.end();
    expect([file.watching.size, clock.timers, reader.error]).toEqual([0, 0, undefined]);
    const iterator = locator().locate({ signal: new AbortController().signal })[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.return?.();
    expect([file.watching.size, clock.timers]).toEqual([0, 0]);
  });

  it.each<[string, FileLocatorOptions]>([
    ["", {}],
    ["/x", { pollMs: 0 }],
    ["/x", { graceMs: Number.NaN }],
  ])("refuses %j with %j", (path, options) => {
    expect(() => fileLocator(path, options)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });
});

describe("with real files", { timeout: 20_000 }, () => {
  let folder = "";
  let path = "";

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "viewreg-file-"));
    path = join(folder, "endpoints.json");
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  // So long between polls that only what the file system tells can be in time.
  const told = { pollMs: 600_000, settleMs: 5, graceMs: 10_000 };
  const polled = { pollMs: 20, settleMs: 5, graceMs: 10_000 };

  it("follows a file that is written in place, and one that is replaced by a rename", async () => {
    await writeFile(path, '["a:1"]');
    await using reader = new Reader(fileLocator(path, told));
    await until(() => reader.last === "a:1");
    await writeFile(path, '["b:2"]');
    await until(() => reader.last === "b:2");
    for (const host of ["c", "d"]) {
      await writeFile(join(folder, ".new"), `["${host}:3"]`);
      await rename(join(folder, ".new"), path);
      await until(() => reader.last === `${host}:3`);
    }
  });

  it("follows a config map: a link to a link to a folder, which is swapped", async () => {
    const publish = async (name: string, content: string): Promise<void> => {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, "endpoints.json"), content);
      await symlink(name, join(folder, "..data_tmp"));
      await rename(join(folder, "..data_tmp"), join(folder, "..data"));
    };
    await publish("..1", '["a:1"]');
    await symlink(join("..data", "endpoints.json"), path);
    await using reader = new Reader(fileLocator(path, told));
    await until(() => reader.last === "a:1");
    for (const version of [2, 3]) {
      await publish(`..${version}`, `["a:${version}"]`);
      await until(() => reader.last === `a:${version}`);
    }
  });

  it("keeps what it had while the file is gone, or its whole folder, and finds them when they are back", async () => {
    await writeFile(path, '["a:1"]');
    await using reader = new Reader(fileLocator(path, polled));
    await until(() => reader.last === "a:1");
    await rm(path);
    await writeFile(path, '["b:2"]');
    await until(() => reader.last === "b:2");
    await rm(folder, { recursive: true });
    await mkdir(folder);
    await writeFile(path, '["c:3"]');
    await until(() => reader.last === "c:3");
    expect(reader.told).toEqual(["a:1", "b:2", "c:3"]);
  });

  it("says that it can't be read: a missing file, a folder, a missing folder, a device, a pipe, one that is too long", async () => {
    await writeFile(path, " ".repeat(2000));
    const pipe = join(folder, "pipe");
    await promisify(execFile)("mkfifo", [pipe]);
    const missing = [join(folder, "other"), join(folder, "no", "such")];
    for (const wrong of [...missing, folder, pipe, "/dev/null", "/dev/zero", path]) {
      const reader = new Reader(fileLocator(wrong, { graceMs: 1, settleMs: 1, pollMs: 5, maxBytes: 1000 }));
      await reader.done();
      expect(reader.error, wrong).toMatchObject({ code: "unavailable" });
    }
  });
});
