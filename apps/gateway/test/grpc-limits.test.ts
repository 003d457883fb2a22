import { credentials, type ServiceError, status } from "@grpc/grpc-js";
import { ntail } from "@x/topic-gateway/wire";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { type ServeFlags, serveOptions, toServeConfig } from "../src/config.js";
import { startGateway } from "./support/gateway.js";
import { Http } from "./support/http.js";

const MIB = 1024 * 1024;
const soon = { timeout: 10_000, interval: 20 };

describe("the limits of gRPC", { timeout: 30_000 }, () => {
  function limitsOf(...args: string[]): unknown {
    const command = new Command();
    for (const option of serveOptions()) command.addOption(option);
    command.parse(args, { from: "user" });
    return toServeConfig(command.opts<ServeFlags>()).grpcLimits;
  }

  it("are there for whoever gives none", () => {
    expect(limitsOf()).toEqual({
      maxBytes: 256 * MIB,
      maxCalls: 4_096,
      maxConnections: 1_024,
      stallTimeoutMs: 30_000,
    });
  });

  it("are flags", () => {
    const counts = ["--grpc-max-calls", "7", "--grpc-max-connections", "8"];
    const rest = ["--grpc-max-bytes", "20000000", "--grpc-stall-timeout-ms", "1000"];
    expect(limitsOf(...counts, ...rest)).toEqual({
      maxBytes: 20_000_000,
      maxCalls: 7,
      maxConnections: 8,
      stallTimeoutMs: 1_000,
    });
  });

  it("hold for the gateway's server, and HTTP goes on; its metrics tell what is held now", async () => {
    await using gateway = await startGateway({ grpcLimits: { maxCalls: 1, maxBytes: 16 * MIB } });
    const http = new Http(gateway.url);
    const client = new ntail.GatewayServiceClient(gateway.grpc, credentials.createInsecure());
    const silent = client.append();
    silent.on("error", () => {});
    await expect.poll(() => http.metric("grpc_calls"), soon).toBe(1);
    expect(await http.metric("grpc_held_bytes")).toBe(0);
    const error = await new Promise<ServiceError | null>((resolve) => client.listTopics({}, resolve));
    expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    await http.createTopic("t");
    expect((await http.postLines("t", [{ key: "a", data: "1" }])).status).toBe(200);
    silent.cancel();
    await expect.poll(() => http.metric("grpc_calls"), soon).toBe(0);
    client.close();
    expect(gateway.errors).toEqual([]);
  });
});
