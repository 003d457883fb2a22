import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { type ServeFlags, serveOptions, toServeConfig } from "../src/config.js";

describe("the flags of the HTTP server", () => {
  function configOf(...args: string[]): unknown {
    const command = new Command();
    for (const option of serveOptions()) command.addOption(option);
    command.parse(args, { from: "user" });
    return toServeConfig(command.opts<ServeFlags>()).httpConfig;
  }

  it("have limits for whoever gives none", () => {
    expect(configOf()).toEqual({
      hosts: [],
      limits: {
        maxBodyBytes: 256 * 1024 * 1024,
        maxUnansweredBytes: 128 * 1024 * 1024,
        maxConnections: 4_096,
        requestTimeoutMs: 30_000,
      },
    });
  });

  it("name hosts, repeated or separated by commas, and each of the limits", () => {
    const hosts = ["--http-allow-host", "A.example.org,b", "--http-allow-host", "c_1"];
    const bytes = ["--http-max-body-bytes", "100000000", "--http-max-unanswered-bytes", "70000000"];
    const rest = ["--http-max-connections", "7", "--http-request-timeout-ms", "1000"];
    expect(configOf(...hosts, ...bytes, ...rest)).toEqual({
      hosts: ["a.example.org", "b", "c_1"],
      limits: {
        maxBodyBytes: 100_000_000,
        maxUnansweredBytes: 70_000_000,
        maxConnections: 7,
        requestTimeoutMs: 1_000,
      },
    });
  });
});
