import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { Server, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { HealthCheckResponse_ServingStatus as ServingStatus } from "../../src/gen/grpc/health/v1/health.js";
import { CarouselClient, DiagnosticsClient } from "../../src/gen/rpc/views.js";
import { defineFeatures, type GrpcHealthOptions, grpcConnector, grpcHealth } from "../../src/grpc/index.js";
import { becomes, eventually, Health, insecure, lastingPort, listen, onEnd } from "./servers.js";

const features = defineFeatures({ carousel: CarouselClient, diagnostics: DiagnosticsClient });
type F = "carousel" | "diagnostics";
const { SERVING, NOT_SERVING, UNKNOWN } = ServingStatus;

async function askingPort(port: number, options: GrpcHealthOptions<F> = { features }) {
  const endpoint = { host: "127.0.0.1", port };
  const connection = grpcConnector({ credentials: insecure }).connect(endpoint);
  onEnd(() => connection.close());
  await becomes(connection, "ready");
  const { probe, listen: listenTo } = grpcHealth<F>(options);
  const never = new AbortController().signal;
  return {
    connection,
    probe: (signal = never) => probe(connection.channel, { endpoint, signal, timeoutMs: 500 }),
    listenTo: (signal = never) => listenTo(connection.channel, { endpoint, signal })[Symbol.asyncIterator](),
  };
}

async function asking(health: Health, options?: GrpcHealthOptions<F>) {
  return askingPort(await listen(health.addTo(new Server())), options);
}

describe("a probe by grpc.health.v1", { timeout: 60_000 }, () => {
  it("finds the features whose services are serving", async () => {
    const health = new Health();
    health.set("rpc.Diagnostics", SERVING);
    health.set("rpc.Carousel", NOT_SERVING);
    const { probe } = await asking(health);
    expect(await probe()).toEqual({ features: ["diagnostics"] });
  });

  it("takes a service that the server does not know for one that it does not provide", async () => {
    const { probe } = await asking(Object.assign(new Health()));
    await expect(probe()).resolves.toEqual({ features: [] });
  });

  it("is one request in the steady state, and asks for the features again with every n-th", async () => {
    const health = new Health();
    health.set("rpc.Carousel", SERVING);
    const { probe } = await asking(health, { features, recheckEvery: 3 });
    const first = await probe();
    expect(health.checked.sort()).toEqual(["", "rpc.Carousel", "rpc.Diagnostics"]);
    health.checked.length = 0;
    health.set("rpc.Diagnostics", SERVING);
    expect(await probe()).toBe(first);
    expect(await probe()).toBe(first);
    expect(health.checked).toEqual(["", ""]);
    expect(await probe()).toEqual({ features: ["carousel", "diagnostics"] });
  });

  it("asks for the features again after the connection broke", async () => {
    const health = new Health();
    const first = health.addTo(new Server());
    const port = await listen(first, { port: await lastingPort() });
    const { probe, connection } = await askingPort(port);
    await probe();
    first.forceShutdown();
    await becomes(connection, "failed");
    const other = new Health();
    other.set("rpc.Carousel", SERVING);
    await listen(other.addTo(new Server()), { port });
    await becomes(connection, "ready");
    expect(await probe()).toEqual({ features: ["carousel"] });
  });

  it.each([NOT_SERVING, UNKNOWN])(
    "says that the server does not serve when its status is %i",
    async (serving) => {
      const health = new Health();
      health.set("", serving);
      const { probe } = await asking(health);
      await expect(probe()).rejects.toMatchObject({ code: "not-serving" });
    },
  );

  it("asks for the service that stands for the server", async () => {
    const health = new Health();
    const { probe } = await asking(health, { service: "whole" });
    await expect(probe()).rejects.toMatchObject({ code: "not-serving" });
    health.set("whole", SERVING);
    await expect(probe()).resolves.toEqual({ features: [] });
    expect(health.checked).toEqual(["whole", "whole"]);
  });

  it("takes a server that knows only its services for well when one of the features is", async () => {
    const health = new Health();
    health.statuses.delete("");
    const { probe } = await asking(health, { features, recheckEvery: 1 });
    await expect(probe()).rejects.toMatchObject({ code: "not-serving" });
    health.set("rpc.Carousel", SERVING);
    await expect(probe()).resolves.toEqual({ features: ["carousel"] });
  });

  it("refuses a status that the protocol does not have", async () => {
    const health = new Health();
    health.set("", 7 as ServingStatus);
    const { probe } = await asking(health);
    await expect(probe()).rejects.toMatchObject({ code: "bad-answer" });
  });

  it("hands on what the call fails with", async () => {
    const health = new Health();
    health.failCheck = { code: status.PERMISSION_DENIED, details: "no" };
    const { probe } = await asking(health);
    await expect(probe()).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  });

  it("asks for all features again after a probe that asked for them failed", async () => {
    const health = new Health();
    health.set("rpc.Carousel", SERVING);
    health.failCheck = { code: status.UNAVAILABLE };
    const { probe } = await asking(health);
    await expect(probe()).rejects.toMatchObject({ code: status.UNAVAILABLE });
    health.failCheck = undefined;
    await expect(probe()).resolves.toEqual({ features: ["carousel"] });
  });

  it("counts a server without a health service as well, with the assumed features, and tells of it once", async () => {
    const missing: string[] = [];
    const port = await listen(new Server());
    const { probe } = await askingPort(port, {
      features,
      assumed: ["diagnostics"],
      onMissing: (endpoint) => missing.push(endpoint.host),
    });
    expect(await probe()).toEqual({ features: ["diagnostics"] });
    expect(await probe()).toEqual({ features: ["diagnostics"] });
    expect(missing).toEqual(["127.0.0.1"]);
  });

  it("does not take an HTTP/2 server that knows no such page for a gRPC server without a health service", async () => {
    const web = createHttp2Server((_request, response) => {
      response.statusCode = 404;
      response.end("<html>not found");
    });
    onEnd(() => web.close());
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
    const { probe } = await askingPort((web.address() as AddressInfo).port);
    await expect(probe()).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
  });

  it("ends with the signal's reason, and takes the call back", async () => {
    const health = new Health();
    health.hang = true;
    const { probe } = await asking(health, {});
    const controller = new AbortController();
    const reason = new Error("enough");
    const answer = probe(controller.signal);
    await eventually(() => expect(health.checked).toEqual([""]));
    controller.abort(reason);
    await expect(answer).rejects.toBe(reason);
    await eventually(() => expect(health.cancelled).toEqual([""]));
    await expect(probe(AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(health.checked).toEqual([""]);
  });

  it("refuses options that make no sense", () => {
    for (const recheckEvery of [0, 1.5, Number.NaN])
      expect(() => grpcHealth({ recheckEvery })).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    expect(() => grpcHealth<F>({ assumed: ["carousel"] })).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});

describe("listening by grpc.health.v1", { timeout: 60_000 }, () => {
  it("yields what the server says of itself, and only the latest", async () => {
    const health = new Health();
    const { listenTo } = await asking(health, {});
    const heard = listenTo();
    expect(await heard.next()).toEqual({ done: false, value: "serving" });
    health.set("", NOT_SERVING);
    expect(await heard.next()).toEqual({ done: false, value: "not-serving" });
    await heard.return?.();
    await eventually(() => expect(health.watched).toEqual([]));
  });

  it("saves the probe all questions but one, and tells it of changes", async () => {
    const health = new Health();
    health.set("rpc.Carousel", SERVING);
    const { listenTo, probe } = await asking(health, { features, recheckEvery: 1 });
    const heard = listenTo();
    await heard.next();
    await eventually(() => expect(health.watched).toEqual(["", "rpc.Carousel", "rpc.Diagnostics"]));
    await eventually(async () => {
      health.checked.length = 0;
      expect(await probe()).toEqual({ features: ["carousel"] });
      expect(health.checked).toEqual([""]);
    });
    health.set("rpc.Diagnostics", SERVING);
    await eventually(async () => expect(await probe()).toEqual({ features: ["carousel", "diagnostics"] }));
    expect(await heard.next()).toEqual({ done: false, value: "serving" });
    await heard.return?.();
    health.checked.length = 0;
    await probe();
    expect(health.checked.sort()).toEqual(["", "rpc.Carousel", "rpc.Diagnostics"]);
  });

  it("ends without an error where there is no Watch", async () => {
    const health = new Health();
    health.failWatch = { code: status.UNIMPLEMENTED, details: "no" };
    const { listenTo } = await asking(health);
    expect(await listenTo().next()).toEqual({ done: true, value: undefined });
  });

  it("ends when the server ends it, and fails when it fails", async () => {
    const health = new Health();
    const { listenTo } = await asking(health, {});
    const heard = listenTo();
    await heard.next();
    health.endWatches();
    expect(await heard.next()).toEqual({ done: true, value: undefined });
    health.failWatch = { code: status.INTERNAL, details: "broken" };
    await expect(listenTo().next()).rejects.toMatchObject({ code: status.INTERNAL });
  });

  it("fails at a status that the protocol does not have, and leaves nothing behind", async () => {
    const health = new Health();
    const { listenTo } = await asking(health);
    const heard = listenTo();
    await heard.next();
    health.set("", 9 as ServingStatus);
    await expect(heard.next()).rejects.toMatchObject({ code: "bad-answer" });
    await eventually(() => expect(health.watched).toEqual([]));
  });

  it("ends with the signal's reason", async () => {
    const health = new Health();
    const { listenTo } = await asking(health);
    const controller = new AbortController();
    const heard = listenTo(controller.signal);
    await heard.next();
    const next = heard.next();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(next).rejects.toBe(reason);
    await eventually(() => expect(health.watched).toEqual([]));
    await expect(listenTo(AbortSignal.abort(reason)).next()).rejects.toBe(reason);
  });

  it("goes on over the next connection", async () => {
    const health = new Health();
    const server = health.addTo(new Server());
    const port = await listen(server, { port: await lastingPort() });
    const { listenTo, connection } = await askingPort(port, {});
    const heard = listenTo();
    expect(await heard.next()).toEqual({ done: false, value: "serving" });
    const next = heard.next();
    server.forceShutdown();
    await becomes(connection, "failed");
    const other = new Health();
    other.set("", NOT_SERVING);
    await listen(other.addTo(new Server()), { port });
    expect(await next).toEqual({ done: false, value: "not-serving" });
    await heard.return?.();
  });

  it("does not wait for a connection after the signal, nor on a closed channel", async () => {
    const health = new Health();
    const server = health.addTo(new Server());
    const { listenTo, connection } = await askingPort(await listen(server), {});
    const controller = new AbortController();
    const [heard, other] = [listenTo(controller.signal), listenTo()];
    await heard.next();
    await other.next();
    const ends = [heard.next(), other.next()];
    server.forceShutdown();
    await becomes(connection, "failed");
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(ends[0]).rejects.toBe(reason);
    connection.close();
    await expect(ends[1]).rejects.toMatchObject({ code: "closed" });
  });

  it("takes a service that the server does not know for one that does not serve", async () => {
    const { listenTo } = await asking(new Health(), { service: "whole" });
    expect(await listenTo().next()).toEqual({ done: false, value: "not-serving" });
  });
});
