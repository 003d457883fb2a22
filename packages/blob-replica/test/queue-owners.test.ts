import { describe, expect, it } from "vitest";
import { encodeHeader, encodeRecord } from "../src/replica/queue/record.js";
import { chance, explore, open, push, puts, refNumber } from "./support/owners.js";
import { PowerCutFiles } from "./support/power-cut-files.js";
import { SteppedFiles } from "./support/stepped-files.js";

/** A queue of the first version, which had no owners. */
async function unowned(disk: PowerCutFiles): Promise<void> {
  await disk.makeDir("/queue");
  await disk.syncDir("/");
  for (const [name, n] of [
    ["queue-9.log", 50],
    ["queue-10.log", 51],
  ] as const) {
    const file = await disk.create(`/queue/${name}`);
    const header = encodeHeader({ nextSeq: 7, table: [{ name: "far", dropped: 0, synced: 0 }] });
    const record = {
      kind: "queued" as const,
      seq: 6,
      ref: refNumber(n),
      bytes: n,
      wallMs: 1,
      stores: 1,
      dropped: 0,
    };
    await file.append(Buffer.concat([header, encodeRecord(record)]));
    await file.sync();
  }
  await (await disk.create("/queue/queue-11.log.new")).append(Buffer.from("half of a"));
  await disk.syncDir("/queue");
}

describe("a queue that several processes open", () => {
  it("loses nothing that either of two acknowledged, in any order of the steps of a takeover and of compactions, whenever they are killed", {
    timeout: 120_000,
  }, async () => {
    const { states, ends } = await explore({ scripts: [puts(2, 3, 4), puts(10, 11)] });
    expect(states).toBeGreaterThan(5000);
    // The second always wins, and the first was deposed at any of its puts.
    expect([...ends].sort()).toEqual(["1 10+11", "1+2 10+11", "1+2+3 10+11", "1+2+3+4 10+11"]);
  });

  it("loses nothing when any call of the old owner fails, so that it begins a new file at whatever moment", {
    timeout: 120_000,
  }, async () => {
    const ends = new Set<string>();
    const scripts = [puts(2, 3, 4), puts(10, 11)];
    // The calls of a put, of a compaction, and of a put again.
    for (let call = 0; call < 12; call++) {
      for (const end of (await explore({ scripts, fault: { process: 0, call } }, 60)).ends) ends.add(end);
    }
    expect(ends).toContain("1+3+4 10+11");
    expect([...ends].every((end) => end.endsWith(" 10+11"))).toBe(true);
  });

  it("loses nothing when any call of the new owner fails", {
    timeout: 120_000,
  }, async () => {
    const ends = new Set<string>();
    const scripts = [puts(2, 3), puts(10, 11)];
    for (let call = 0; call < 24; call++) {
      for (const end of (await explore({ scripts, fault: { process: 1, call } }, 20)).ends) ends.add(end);
    }
    const second = new Set([...ends].map((end) => end.split(" ")[1]));
    // It is not open, or one of its puts has failed.
    expect([...second].sort()).toEqual(["", "10", "11"]);
  });

  it("loses nothing of three, of which two open it at the same time", { timeout: 120_000 }, async () => {
    const scripts = [puts(2, 3, 4), puts(10, 11), puts(20, 21)];
    const { ends } = await explore({ scripts }, 400);
    // One opens it after the other, or one of them gives up.
    const last = [...ends].map((end) => end.split(" ").slice(1).join(" "));
    expect(last).toEqual(expect.arrayContaining(["10+11 20+21", "10+11 ", " 20+21"]));
    expect(last.every((each) => each.includes("10+11") || each.includes("20+21"))).toBe(true);
  });

  it("takes what the first version left, and an unfinished file of it", { timeout: 60_000 }, async () => {
    const disk = new PowerCutFiles();
    await unowned(disk);
    const queue = await open(disk, 1);
    expect([...(queue.stores[0]?.backlog.entries() ?? [])].map(({ bytes }) => bytes)).toEqual([51]);
    await push(queue, 52);
    // One file, and the claim.
    const names = (await disk.list("/queue")).sort();
    expect(names).toEqual(["queue-1-0101010101010101-1.log", "queue-1-0101010101010101.owner"]);
    const after = await open(disk.afterPowerCut({ number: chance, bytes: () => new Uint8Array() }), 2);
    expect([...(after.stores[0]?.backlog.entries() ?? [])].map(({ bytes }) => bytes)).toEqual([51, 52]);
  });

  it("is read though its file was given a new name while the folder was listed, so that neither name is in the list", async () => {
    const disk = new PowerCutFiles();
    const queue = await open(disk, 1);
    await push(queue, 1);
    const files = new SteppedFiles(disk);
    files.free = true;
    let lists = 0;
    const list = files.list.bind(files);
    // The folder is listed for a number, for the claims, and then for the newest file.
    files.list = async (path) => {
      const names = await list(path);
      return ++lists === 3 ? names.filter((name) => !name.endsWith(".log")) : names;
    };
    const after = await open(files, 2);
    expect([...(after.stores[0]?.backlog.entries() ?? [])].map(({ bytes }) => bytes)).toEqual([1]);
  });

  it("tells a deposed owner so at each of its puts, for ever, also after the other has closed", async () => {
    const disk = new PowerCutFiles();
    const first = await open(disk, 1);
    const second = await open(disk, 2);
    await second.close();
    for (let n = 1; n < 8; n++) {
      await expect(push(first, n)).rejects.toMatchObject({
        code: "closed",
        message: "another process has taken over the queue in /queue",
      });
    }
    expect((await disk.list("/queue")).filter((name) => !name.startsWith("queue-2-"))).toEqual([]);
  });

  it("is not taken over by one who cannot write: the owner goes on", async () => {
    const disk = new PowerCutFiles();
    const first = await open(disk, 1);
    disk.onCall = (call) => {
      if (call.startsWith("create")) throw Object.assign(new Error("no room"), { code: "ENOSPC" });
    };
    await expect(open(disk, 2)).rejects.toMatchObject({ code: "full" });
    disk.onCall = () => {};
    await push(first, 1);
    const after = await open(disk, 3);
    expect([...(after.stores[0]?.backlog.entries() ?? [])].map(({ bytes }) => bytes)).toEqual([1]);
  });
});
