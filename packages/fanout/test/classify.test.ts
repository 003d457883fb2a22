import { describe, expect, it } from "vitest";
import { classifyError } from "../src/index.js";

const grpc = (code: number, pushback?: unknown): object => ({
  code,
  details: "",
  metadata: {
    get: (name: string) => (name === "grpc-retry-pushback-ms" && pushback !== undefined ? [pushback] : []),
  },
});

describe("classifyError", () => {
  it("knows gRPC's status codes", () => {
    const classes = Object.fromEntries(
      Array.from({ length: 16 }, (_, index) => [index + 1, classifyError(grpc(index + 1)).class]),
    );
    expect(classes).toEqual({
      1: "retryable",
      2: "retryable",
      3: "not-retryable",
      4: "retryable",
      5: "not-retryable",
      6: "not-retryable",
      7: "not-retryable",
      8: "overloaded",
      9: "not-retryable",
      10: "retryable",
      11: "not-retryable",
      12: "not-retryable",
      13: "retryable",
      14: "unreachable",
      15: "retryable",
      16: "not-retryable",
    });
  });

  it("reads gRPC's pushback, and takes a negative or unreadable one for a no (gRFC A6)", () => {
    expect(classifyError(grpc(8, "250"))).toEqual({ class: "overloaded", pushbackMs: 250 });
    expect(classifyError(grpc(14, Buffer.from("0")))).toEqual({ class: "unreachable", pushbackMs: 0 });
    expect(classifyError(grpc(8, "-1"))).toEqual({ class: "not-retryable" });
    expect(classifyError(grpc(8, "soon"))).toEqual({ class: "not-retryable" });
    expect(classifyError(grpc(8))).toEqual({ class: "overloaded" });
    const headers = new Headers({ "grpc-retry-pushback-ms": "7" });
    expect(classifyError({ code: 8, metadata: headers })).toEqual({ class: "overloaded", pushbackMs: 7 });
    expect(classifyError({ code: 8, metadata: new Headers() })).toEqual({ class: "overloaded" });
  });

  it("knows Node's network errors, also as the cause of a fetch that failed", () => {
    const codes = [
      "ECONNREFUSED",
      "ECONNRESET",
      "EPIPE",
      "ENOTFOUND",
      "EAI_AGAIN",
      "ETIMEDOUT",
      "EHOSTUNREACH",
      "ENETUNREACH",
    ];
    for (const code of codes) {
      const error = Object.assign(new Error(code), { code });
      expect(classifyError(error)).toEqual({ class: "unreachable" });
      expect(classifyError(new TypeError("fetch failed", { cause: error }))).toEqual({
        class: "unreachable",
      });
    }
  });

  it("knows HTTP's 429 and 503, with Retry-After in seconds", () => {
    expect(classifyError({ status: 429 })).toEqual({ class: "overloaded" });
    const headers = new Headers({ "retry-after": "2" });
    expect(classifyError({ status: 503, headers })).toEqual({ class: "overloaded", pushbackMs: 2000 });
    const date = new Headers({ "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" });
    expect(classifyError({ status: 503, headers: date })).toEqual({ class: "overloaded" });
    expect(classifyError({ status: 500 })).toEqual({ class: "retryable" });
  });

  it("does not take a DOM exception's numbers for gRPC's", () => {
    const aborted = new DOMException("not supported", "NotSupportedError");
    expect(aborted.code).toBe(9);
    expect(classifyError(aborted)).toEqual({ class: "retryable" });
  });

  it("takes everything else for retryable", () => {
    const others = [
      undefined,
      null,
      "text",
      14,
      Symbol("x"),
      new Error("x"),
      {},
      { code: "ENOENT" },
      { code: 0 },
      { code: 17 },
    ];
    for (const error of others) expect(classifyError(error)).toEqual({ class: "retryable" });
  });

  it("survives whatever an error does when it is looked at", () => {
    const hostile = new Proxy(
      {},
      {
        get() {
          throw new Error("hands off");
        },
        getPrototypeOf() {
          throw new Error("hands off");
        },
      },
    );
    expect(classifyError(hostile)).toEqual({ class: "retryable" });
    expect(classifyError({ code: 8, metadata: hostile })).toEqual({ class: "overloaded" });
    expect(classifyError({ code: "X", cause: hostile })).toEqual({ class: "retryable" });
    const metadata = {
      get() {
        throw new Error("hands off");
      },
    };
    expect(classifyError({ code: 8, metadata })).toEqual({ class: "overloaded" });
  });
});
