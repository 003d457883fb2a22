import { mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FragmentReader, FragmentTransports, fileTransport, openFragmentUrl } from "../src/index.js";
import { nodeFiles } from "../src/read/node-files.js";
import {
  aborted,
  all,
  FakeStore,
  fragment,
  LINES,
  pieces,
  readUntilEnd,
  rejection,
  snappyFramed,
} from "./read-support.js";

const DATA = "XXXXXhello, world!!!";
const FRAGMENT = fragment(100n, 120n, { compressionCodec: "GZIP" });
const url = "s3://store/f";

function stored(file: Uint8Array = gzipSync(DATA)): FakeStore {
  const store = new FakeStore();
  store.put(url, file);
  return store;
}

describe("a fragment that is opened at its URL", () => {
  it("is read whole, or from an offset of it", async () => {
    const whole = await openFragmentUrl(stored(), { fragment: FRAGMENT, url });
    expect(whole.offset).toBe(100n);
    expect(await readUntilEnd(whole)).toEqual({ text: DATA, error: undefined });
    expect(whole.offset).toBe(whole.fragment.end);
    const part = await openFragmentUrl(stored(), { fragment: FRAGMENT, url, offset: 105n });
    expect(part.offset).toBe(105n);
    expect(await readUntilEnd(part)).toEqual({ text: "hello, world!!!", error: undefined });
    expect(await part.read()).toBeUndefined();
  });

  it("fails behind its content when its file is too short", async () => {
    const store = stored();
    const reader = await openFragmentUrl(store, { fragment: { ...FRAGMENT, end: 121n }, url, offset: 105n });
    expect(await readUntilEnd(reader)).toMatchObject({
      text: "hello, world!!!",
      error: { code: "unexpected-eof" },
    });
    expect(store.open).toBe(0);
  });

  it("fails behind its end when its file is too long, and gives nothing of what is behind", async () => {
    for (const end of [117n, 119n]) {
      const store = stored();
      const reader = await openFragmentUrl(store, { fragment: { ...FRAGMENT, end }, url, offset: 105n });
      expect(await readUntilEnd(reader)).toMatchObject({
        text: "hello, world!!!".slice(0, Number(end) - 105),
        error: { code: "did-not-read-expected-eof" },
      });
      expect(reader.offset).toBe(end);
      expect(store.open).toBe(0);
    }
  });

  it("is missing, or does not decompress: each has its own code", async () => {
    expect(
      await rejection(openFragmentUrl(stored(), { fragment: FRAGMENT, url: `${url}-not` })),
    ).toMatchObject({
      code: "fragment-not-found",
    });
    const snappy = { ...FRAGMENT, compressionCodec: "SNAPPY" as const };
    const store = stored();
    expect(await rejection(openFragmentUrl(store, { fragment: snappy, url, offset: 105n }))).toMatchObject({
      code: "fragment-corrupt",
    });
    expect(store.open).toBe(0);
  });

  it("has no offset that is not in it", async () => {
    for (const offset of [99n, 121n]) {
      const store = stored();
      expect(await rejection(openFragmentUrl(store, { fragment: FRAGMENT, url, offset }))).toMatchObject({
        code: "invalid-argument",
      });
      expect(store.gets).toEqual([]);
    }
  });

  it.each([
    ["GZIP", "gzip"],
    ["GZIP_OFFLOAD_DECOMPRESSION", "identity"],
    ["NONE", "identity"],
    ["SNAPPY", "identity"],
    ["ZSTANDARD", "identity"],
  ] as const)("of %s is asked for as %s", async (compressionCodec, encoding) => {
    const store = stored();
    await (await openFragmentUrl(store, { fragment: { ...FRAGMENT, compressionCodec }, url })).close();
    expect(store.gets).toEqual([{ url, headers: { "accept-encoding": encoding } }]);
  });

  it("with offloaded decompression is decompressed by whoever has not done it", async () => {
    const offload = { ...FRAGMENT, compressionCodec: "GZIP_OFFLOAD_DECOMPRESSION" as const };
    for (const file of [
      { body: Buffer.from(DATA), contentEncoding: "" },
      { body: gzipSync(DATA), contentEncoding: "gzip" },
    ]) {
      const store = new FakeStore();
      store.put(url, file);
      expect((await readUntilEnd(await openFragmentUrl(store, { fragment: offload, url }))).text).toBe(DATA);
    }
  });

  it("ends its transfer when it is closed, also before it was read and while it is", async () => {
    const signals: AbortSignal[] = [];
    const transport = {
      get: async (_url: string, { signal }: { readonly signal?: AbortSignal }) => {
        signals.push(signal!);
        return {
          contentEncoding: "",
          body: (async function* () {
            yield Buffer.from("abc");
            await aborted(signal!);
          })(),
        };
      },
    };
    const plain = fragment(0n, 10n);
    const unread = await openFragmentUrl(transport, { fragment: plain, url });
    await unread.close();
    expect(signals[0]?.aborted).toBe(true);
    const reader = await openFragmentUrl(transport, { fragment: plain, url });
    await reader.read();
    const pending = reader.read();
    await reader.close();
    expect(await rejection(pending)).toMatchObject({ code: "closed" });
    expect(await rejection(reader.read())).toMatchObject({ code: "closed" });
    const controller = new AbortController();
    const leaving = await openFragmentUrl(transport, { fragment: plain, url, signal: controller.signal });
    await leaving.read();
    const reason = new Error("enough");
    const last = leaving.read();
    controller.abort(reason);
    expect(await rejection(last)).toBe(reason);
    for (const codec of ["GZIP", "SNAPPY", "ZSTANDARD"] as const) {
      const compressed = await openFragmentUrl(transport, {
        fragment: { ...plain, compressionCodec: codec },
        url,
      });
      const never = compressed.read();
      never.catch(() => {});
      await new Promise((resolve) => setImmediate(resolve));
      await compressed.close();
      await rejection(never);
    }
  });

  it("is also made of a file that somebody else has", async () => {
    const file = snappyFramed(LINES);
    const whole = fragment(0n, BigInt(LINES.length), { compressionCodec: "SNAPPY" });
    expect((await all(new FragmentReader(pieces(file, 4096), whole))).equals(LINES)).toBe(true);
    const reader = new FragmentReader(pieces(file, 4096), whole);
    await reader.seek(70_000n);
    expect((await all(reader)).equals(LINES.subarray(70_000))).toBe(true);
    expect(await rejection(reader.seek(5n))).toMatchObject({ code: "seek-requires-new-reader" });
  });
});

describe("the transports of a client", () => {
  it("are chosen by scheme, the latest first, and refuse what none was installed for", async () => {
    const transports = new FragmentTransports();
    const error = await rejection(transports.get("file:///a?secret=1"));
    expect(error).toMatchObject({ code: "url-refused" });
    expect(String(error)).not.toContain("secret");
    const [first, second] = [new FakeStore(), new FakeStore()];
    first.put("file:///a", Buffer.from("1"));
    second.put("file:///a", Buffer.from("2"));
    const removeFirst = transports.install("file", first);
    const removeSecond = transports.install("file", second);
    const read = async () => (await all((await transports.get("FILE:///a".toLowerCase())).body)).toString();
    expect(await read()).toBe("2");
    removeFirst();
    expect(await read()).toBe("2");
    removeSecond();
    removeSecond();
    for (const url of ["file:///a", "gopher://x/", "no url"]) {
      expect(await rejection(transports.get(url))).toMatchObject({ code: "url-refused" });
    }
  });
});

describe("files below a folder", () => {
  let root: string;
  let top: string;
  beforeAll(async () => {
    top = await realpath(await mkdtemp(join(tmpdir(), "read-")));
    root = join(top, "root");
    await mkdir(join(root, "a/journal"), { recursive: true });
    await mkdir(join(top, "root-too"));
    await writeFile(join(top, "secret"), "secret");
    await writeFile(join(top, "root-too/secret"), "secret");
    await writeFile(join(root, "a/journal/frag ment"), DATA);
    await writeFile(join(root, "%2e%2e"), DATA);
    await symlink(join(top, "secret"), join(root, "out"));
    await symlink("../../secret", join(root, "a/out"));
    await symlink(top, join(root, "up"));
    await symlink("a/journal/frag ment", join(root, "in"));
    await symlink("loop", join(root, "loop"));
    await symlink(root, join(top, "link-to-root"));
  });
  afterAll(() => rm(top, { recursive: true }));

  const read = async (url: string, at = root) => {
    const file = await fileTransport(at).get(url, {});
    return (await all(file.body)).toString();
  };

  it("are read, with links that stay below it, and through a link to the folder itself", async () => {
    for (const good of [
      "file:///a/journal/frag%20ment",
      "file://localhost/a/journal/frag%20ment",
      "file:///a//journal/./frag%20ment?X=1#y",
      "file:///in",
      "file:///%252e%252e",
    ]) {
      expect.soft(await read(good), good).toBe(DATA);
    }
    expect(await read("file:///in", join(top, "link-to-root"))).toBe(DATA);
  });

  it.each([
    "file:///../secret",
    "file:///a/../../secret",
    "file:///a/../in",
    "file:///%2e%2e/secret",
    "file:///%2E%2e%2Fsecret",
    "file:///..%2fsecret",
    "file:///a/..%5c..%5csecret",
    "file:///out",
    "file:///a/out",
    "file:///up/secret",
    "file:///up/root-too/secret",
    "file:///loop",
    "file:///a%00b",
    "file:///a%0ab",
    "file:///%ff",
    "file:///%",
    "file:///a",
    "file:///a/journal/",
    "file:///",
    "file://",
    "file://host/in",
    "http:///in",
    "in",
    "/in",
  ])("are refused when the URL is %s", async (bad) => {
    expect(await rejection(read(bad))).toMatchObject({ code: "url-refused" });
  });

  it("may be missing", async () => {
    for (const missing of ["file:///no", "file:///in/no", "file:///no/no/no"]) {
      expect(await rejection(read(missing))).toMatchObject({ code: "fragment-not-found" });
    }
    expect(await rejection(read("file:///in", join(top, "no-root")))).toMatchObject({
      code: "fragment-not-found",
    });
  });

  it("are not read when a link comes into their place while they are opened", async () => {
    const path = join(root, "a/journal/swapped");
    await writeFile(path, "good");
    const transport = fileTransport(root, {
      files: {
        ...nodeFiles,
        async open(file) {
          await rename(file, `${file}-old`);
          await symlink(join(top, "secret"), file);
          return nodeFiles.open(file);
        },
      },
    });
    expect(await rejection(transport.get("file:///a/journal/swapped", {}))).toMatchObject({
      code: "url-refused",
    });
  });

  it("are closed at their end, when they are left, and when they are aborted before they are read", async () => {
    let open = 0;
    const transport = fileTransport(root, {
      files: {
        ...nodeFiles,
        async open(file) {
          const opened = await nodeFiles.open(file);
          open++;
          return (
            opened && {
              read: (buffer: Uint8Array) => opened.read(buffer),
              close: () => {
                open--;
                return opened.close();
              },
            }
          );
        },
      },
    });
    await all((await transport.get("file:///in", {})).body);
    expect(open).toBe(0);
    for await (const _ of (await transport.get("file:///in", {})).body) break;
    expect(open).toBe(0);
    await (await transport.get("file:///in", {})).body[Symbol.asyncIterator]().return?.();
    expect(open).toBe(0);
    const controller = new AbortController();
    const reason = new Error("enough");
    const file = await transport.get("file:///in", { signal: controller.signal });
    controller.abort(reason);
    expect(open).toBe(0);
    expect(await rejection(all(file.body))).toBe(reason);
    expect(await rejection(transport.get("file:///in", { signal: controller.signal }))).toBe(reason);
  });

  it("give fragments to whoever installed them", async () => {
    const transports = new FragmentTransports();
    const remove = transports.install("file", fileTransport(root));
    const plain = fragment(100n, 120n);
    const reader = await openFragmentUrl(transports, { fragment: plain, url: "file:///in", offset: 105n });
    expect(await readUntilEnd(reader)).toEqual({ text: "hello, world!!!", error: undefined });
    remove();
    expect(
      await rejection(openFragmentUrl(transports, { fragment: plain, url: "file:///in" })),
    ).toMatchObject({
      code: "url-refused",
    });
  });
});
