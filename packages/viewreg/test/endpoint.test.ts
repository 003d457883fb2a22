import { describe, expect, it } from "vitest";
import { formatEndpoint, parseEndpoint, RegistryError } from "../src/index.js";

describe("an endpoint", () => {
  it.each([
    ["127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }],
    ["localhost:0", { host: "localhost", port: 0 }],
    ["[::1]:65535", { host: "::1", port: 65535 }],
    ["buffer-1.example:7", { host: "buffer-1.example", port: 7 }],
    ["unix:80", { host: "unix", port: 80 }],
    ["dns:53", { host: "dns", port: 53 }],
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
    "unix:/run/kv.sock",
    "unix:///run/kv.sock",
    "unix:///run/kv.sock:80",
    "unix-abstract:kv",
    "/run/kv.sock:80",
    "[/run/kv.sock]:80",
    "\0kv:80",
    "user@host:80",
    "a?b:80",
    "[::::]:80",
    "[127.0.0.1]:80",
    "[fe80::1%eth0]:80",
    "1.2.3:80",
    "300.1.1.1:80",
  ])("is refused when the text is %j", (text) => {
    expect(() => parseEndpoint(text)).toThrow(RegistryError);
    expect(() => parseEndpoint(text)).toThrow(/is not HOST:PORT/);
  });
});
