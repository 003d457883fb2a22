import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { Server, status } from "@grpc/grpc-js";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  HealthClient,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../src/gen/grpc/health/v1/health.js";
import { CarouselClient } from "../../src/gen/rpc/views.js";
import { defineFeatures, openGrpcRegistry } from "../../src/grpc/index.js";
import type { RegistryEvent } from "../../src/index.js";
import { staticLocator } from "../../src/locators/static.js";
import { eventually, Health, insecure, listen, onEnd } from "./servers.js";

const features = defineFeatures({ health: HealthClient, carousel: CarouselClient });
const fast = { probing: { intervalMs: 20 } };

function at(...ports: number[]) {
  return staticLocator(ports.map((port) => ({ host: "127.0.0.1", port })));
}

async function serving(...services: string[]): Promise<number> {
  const health = new Health();
  for (const service of services) health.set(service, ServingStatus.SERVING);
  return listen(health.addTo(new Server()));
}

describe("a registry of gRPC servers", { timeout: 60_000 }, () => {
  it("finds what servers provide, and calls it by the feature's stub", async () => {
    const port = await serving("grpc.health.v1.Health");
    const registry = openGrpcRegistry({ locator: at(port), features, credentials: insecure, ...fast });
    onEnd(() => void registry[Symbol.asyncDispose]());
    await eventually(() => expect(registry.healthyViews("health")).toHaveLength(1));
    expect(registry.healthyViews("carousel")).toEqual([]);
    const [view] = registry.healthyViews("health");
    const client = view?.client("health");
    expectTypeOf(client).toEqualTypeOf<HealthClient | undefined>();
    expect(registry.allViews()[0]?.client("health")).toBe(client);
    const answer = await new Promise((resolve) =>
      client?.check({ service: "" }, (error, value) => resolve(error ?? value)),
    );
    expect(answer).toEqual({ status: 1 });
    // @ts-expect-error: no such feature
    expect(() => view?.client("nope")).toThrow(expect.objectContaining({ code: "no-feature" }));
    // @ts-expect-error: no such feature
    registry.healthyViews("nope");
  });

  it("lets the caller add what a server is beside its health", async () => {
    const registry = openGrpcRegistry({
      locator: at(await serving()),
      credentials: insecure,
      probe: (health, _channel, { endpoint }) => ({
        ...health,
        serves: { from: BigInt(endpoint.port), to: 2n ** 40n },
      }),
      ...fast,
    });
    onEnd(() => void registry[Symbol.asyncDispose]());
    await eventually(() => expect(registry.viewsFor(2n ** 39n)).toHaveLength(1));
    expect(registry.viewsFor(0n)).toEqual([]);
  });

  it("counts a server without a health service as well, and logs that once", async () => {
    const events: string[] = [];
    const registry = openGrpcRegistry({
      locator: at(await listen(new Server())),
      features,
      assumed: ["carousel"],
      credentials: insecure,
      log: ({ event }) => events.push(event),
      ...fast,
    });
    onEnd(() => void registry[Symbol.asyncDispose]());
    await eventually(() => expect(registry.healthyViews("carousel")).toHaveLength(1));
    expect(events.filter((event) => event === "no-health-service")).toHaveLength(1);
  });

  it.each([
    ["fails", { code: status.INTERNAL, details: "no idea" }],
    ["is not known", { code: status.UNIMPLEMENTED, details: "no" }],
  ])("leaves no Check of a feature open when that of the whole %s", async (_, failCheck) => {
    const health = new Health();
    health.failWatch = { code: status.UNIMPLEMENTED, details: "no" };
    health.failCheck = failCheck;
    for (const name of features.names) health.hanging.add(features.service(name));
    const port = await listen(health.addTo(new Server()));
    const registry = openGrpcRegistry({ locator: at(port), features, credentials: insecure, ...fast });
    onEnd(() => void registry[Symbol.asyncDispose]());
    await eventually(() => {
      const asked = health.checked.filter((service) => service !== "");
      expect(asked.length).toBeGreaterThan(10);
      // One probe at a time is under way, with a Check of each feature.
      expect(asked.length - health.cancelled.length).toBeLessThanOrEqual(features.names.length);
    });
  });

  it("shows endpoints that are not gRPC as unwell, logs and counts them once, and goes on with one that is", async () => {
    let tries = 0;
    const rude = createTcpServer((socket) => {
      tries++;
      socket.on("error", () => {}).end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    await new Promise<void>((resolve) => rude.listen(0, "127.0.0.1", resolve));
    onEnd(() => rude.close());
    const failing = new Health();
    failing.failCheck = { code: status.INTERNAL, details: "no idea" };
    const broken = await listen(failing.addTo(new Server()));
    const well = await serving();
    const { port } = rude.address() as AddressInfo;
    const events: RegistryEvent[] = [];
    const counted: string[] = [];
    const registry = openGrpcRegistry({
      locator: at(well, port, broken),
      credentials: insecure,
      log: (event) => events.push(event),
      metrics: { errors: { inc: ({ kind }) => counted.push(kind) } },
      ...fast,
    });
    onEnd(() => void registry[Symbol.asyncDispose]());
    await eventually(() => expect(registry.healthyViews()).toHaveLength(1));
    await eventually(() => expect(registry.dump()).toContain("no idea"));
    expect(registry.allViews()).toHaveLength(3);
    expect(registry.healthyViews().map(({ endpoint }) => endpoint.port)).toEqual([well]);
    // It is connected to again and again meanwhile, and asked again and again.
    await eventually(() => expect(tries).toBeGreaterThan(2));
    const about = (wanted: number) => events.filter(({ endpoint }) => endpoint === `127.0.0.1:${wanted}`);
    expect(about(port).map(({ event }) => event)).toEqual(["added", "disconnected"]);
    expect(about(broken).map(({ event }) => event)).toEqual(["added", "probe-failed"]);
    expect(counted.sort()).toEqual(["connection", "probe"]);
    expect(registry.dump()).toContain(`127.0.0.1:${port} unhealthy; disconnected; never answered`);
  });
});
