import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Fragment, JournalClient } from "../src/index.js";
import { StubBroker } from "./support/stub-broker.js";

describe("JournalClient", () => {
  it("reads and appends with the readers and appenders of this package", async () => {
    await using broker = await StubBroker.start();
    broker.create("a/journal", "one ");
    await using client = new JournalClient({ endpoints: broker.endpoint });
    const appender = client.appender({ journal: "a/journal" });
    await appender.write(Buffer.from("two "));
    await appender.commit();
    const response = await client.append({ journal: "a/journal" }, { content: Buffer.from("three ") });
    expect(response.commit).toMatchObject({ begin: 8n, end: 14n });
    const service = client.appendService();
    const append = service.startAppend({ journal: "a/journal" });
    append.writer.write("four");
    append.release();
    await append.done;
    expect(await append.err()).toBeUndefined();
    expect(broker.content("a/journal").toString()).toBe("one two three four");
    for (const reader of [
      client.reader({ journal: "a/journal", endOffset: 18n }),
      client.retryReader({ journal: "a/journal", endOffset: 18n }),
    ]) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of reader) chunks.push(chunk);
      expect(Buffer.concat(chunks).toString()).toBe("one two three four");
    }
    await service[Symbol.asyncDispose]();
  });

  it("reads fragments from files below an installed root, until that is taken back, and not for other clients", async () => {
    const root = await mkdtemp(join(tmpdir(), "journal-client-"));
    try {
      await writeFile(join(root, "fragment"), "hello, world");
      const fragment: Fragment = {
        journal: "a/journal",
        begin: 100n,
        end: 112n,
        sum: new Uint8Array(20),
        compressionCodec: "NONE",
        backingStore: "file:///",
        modTime: 1n,
        pathPostfix: "",
      };
      const endpoints = "http://127.0.0.1:1";
      await using client = new JournalClient({ endpoints });
      await using other = new JournalClient({ endpoints });
      const open = (from: JournalClient) =>
        from.openFragmentUrl({ fragment, offset: 107n, url: "file:///fragment" });
      const remove = client.installFileTransport(root);
      const reader = await open(client);
      const chunks: Uint8Array[] = [];
      for await (const chunk of reader) chunks.push(chunk);
      expect(Buffer.concat(chunks).toString()).toBe("world");
      await expect(open(other)).rejects.toMatchObject({ code: "url-refused" });
      remove();
      await expect(open(client)).rejects.toMatchObject({ code: "url-refused" });
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
