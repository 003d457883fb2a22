import { describe, expect, it } from "vitest";
import { formatEndpoint, parseEndpoint, RegistryError } from "../src/index.js";

describe("an endpoint", () => {
  it.each([
    ["127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }],
    ["localhost:0", { host: "localhost", port: 0 }],
    ["[::1]:65535", { host: "::1", port: 65535 }],
    ["buffer-1.example:7", { host: "buffer-1.example", port: 7 }],
  ])("is read from %s and written back the same", (text, endpoint) => {
    expect(parseEndpoint(text)).toEqual(endpoint);
    expect(formatEndpoint(endpoint)).toBe(text);
  });

  it.each([
    "",
    "host",
    "host:",
    ":80",
    "::1:80",
    "host:65536",
    "host:-1",
    "a b:1",
    "[host]:1",
    "http://host:1",
    "host:1 ",
  ])("is refused when the text is %j", (text) => {
    expect(() => parseEndpoint(text)).toThrow(RegistryError);
    expect(() => parseEndpoint(text)).toThrow(/is not HOST:PORT/);
  });
});
