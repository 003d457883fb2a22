import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { StubHttpStore } from "./support/stub-http-store.js";

let store: StubHttpStore;

beforeEach(async () => {
  store = await StubHttpStore.start();
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
});

describe("the store of fragments for tests", () => {
  it("serves a file, and records who asked", async () => {
    const url = store.put("/a/fragment.raw", Buffer.from("foobar"));
    const response = await fetch(url, { headers: { range: "bytes=0-" } });
    expect(await response.text()).toBe("foobar");
    expect(response.headers.get("content-length")).toBe("6");
    expect(store.requests).toMatchObject([
      {
        method: "GET",
        path: "/a/fragment.raw?signature=good",
        headers: { range: "bytes=0-" },
        aborted: false,
      },
    ]);
  });

  it("refuses, and has no other files", async () => {
    const response = await fetch(store.refuse("/a/file", 403, "expired"));
    expect([response.status, await response.text()]).toEqual([403, "expired"]);
    expect((await fetch(`${store.url}/none`)).status).toBe(404);
  });

  it("says the encoding that it is told to say", async () => {
    const url = store.put("/x", {
      body: Buffer.from("no gzip"),
      contentEncoding: "identity",
      headers: { etag: "1" },
    });
    const response = await fetch(url);
    expect(response.headers.get("content-encoding")).toBe("identity");
    expect(response.headers.get("etag")).toBe("1");
  });

  it("ends too early, in good order or not", async () => {
    const body = Buffer.from("foobar");
    const short = await fetch(store.put("/short", { body, after: 3 }));
    expect(await short.text()).toBe("foo");
    for (const then of ["cut", "reset"] as const) {
      const response = await fetch(store.put(`/${then}`, { body, after: 3, then }));
      await expect(response.text()).rejects.toThrow();
    }
  });

  it("waits in the middle until the test says so", async () => {
    let open!: () => void;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const response = await fetch(store.put("/slow", { body: Buffer.from("foobar"), after: 3, then: gate }));
    const reader = response.body!.getReader();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe("foo");
    open();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe("bar");
  });

  it("fails once, and then serves", async () => {
    const url = store.put("/x", { status: 500, body: Buffer.from("") }, Buffer.from("foobar"));
    expect((await fetch(url)).status).toBe(500);
    expect(await (await fetch(url)).text()).toBe("foobar");
    expect(await (await fetch(url)).text()).toBe("foobar");
  });
});
