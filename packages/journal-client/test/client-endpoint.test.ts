import { describe, expect, it } from "vitest";
import { parseEndpoint, parseEndpoints } from "../src/client/endpoint.js";
import { JournalClient, type JournalError } from "../src/index.js";

describe("an endpoint", () => {
  it.each([
    ["http://host:1234/path?query", "dns:host:1234", false],
    ["http://host", "dns:host:80", false],
    ["https://host", "dns:host:443", true],
    ["HTTPS://host:8443", "dns:host:8443", true],
    ["http://[::1]:8080", "dns:[::1]:8080", false],
    ["unix://some-host/a/path", "unix:/a/path", false],
    ["unix:///a/path", "unix:/a/path", false],
    ["unix://host/with%20space", "unix:/with space", false],
  ])("%s is dialed as %s", (url, target, secure) => {
    expect(parseEndpoint(url)).toEqual({ url, target, secure });
  });

  it.each([
    ":garbage: :garbage:",
    "/baz/bing",
    "host:1234",
    "http:///baz/bing",
    "http://user:pa@host:1",
    "ftp://host:21",
    "unix://host",
    "unix://host/",
    "unix://host/%ff",
    "http://host:port",
    "",
  ])("%s is refused", (text) => {
    expect(() => parseEndpoint(text)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });

  it("that holds a password is refused without repeating it", () => {
    expect(() => parseEndpoint("http://user:hunter2@host:1")).not.toThrow(/hunter2/);
    expect(() => parseEndpoint("http://user:hunter2@host:1")).toThrow(/auth/);
  });
});

describe("a client's endpoints", () => {
  it("are one or several, each once, and named by their place when one is wrong", () => {
    expect(parseEndpoints(["http://a:1", "http://b:1", "http://a:1"]).map(({ url }) => url)).toEqual([
      "http://a:1",
      "http://b:1",
    ]);
    expect(() => parseEndpoints(["http://a:1", "b"])).toThrow(/endpoints\[1\]/);
    for (const wrong of [[], undefined, 7]) {
      expect(() => new JournalClient({ endpoints: wrong as never })).toThrow(
        expect.objectContaining({ code: "invalid-argument" } satisfies Partial<JournalError>),
      );
    }
  });

  it("are not pinged more often than brokers tolerate", () => {
    const endpoints = "http://127.0.0.1:1";
    expect(() => new JournalClient({ endpoints, channelOptions: { "grpc.keepalive_time_ms": 500 } })).toThrow(
      /grpc\.keepalive_time_ms/,
    );
    new JournalClient({ endpoints, channelOptions: { "grpc.keepalive_time_ms": -1 } });
  });
});
