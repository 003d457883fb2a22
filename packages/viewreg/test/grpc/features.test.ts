import { makeGenericClientConstructor, Server } from "@grpc/grpc-js";
import { describe, expect, expectTypeOf, it } from "vitest";
import { HealthClient } from "../../src/gen/grpc/health/v1/health.js";
import { CarouselClient } from "../../src/gen/rpc/views.js";
import { type ClientConstructor, defineFeatures, grpcConnector } from "../../src/grpc/index.js";
import { becomes, Health, insecure, listen, onEnd } from "./servers.js";

const features = defineFeatures({ health: HealthClient, carousel: CarouselClient });
const connector = grpcConnector({ credentials: insecure });

function channelTo(port: number) {
  const connection = connector.connect({ host: "127.0.0.1", port });
  onEnd(() => connection.close());
  return connection;
}

describe("features", { timeout: 60_000 }, () => {
  it("are known by name, in order, and by the full name of their service", () => {
    expect(features.names).toEqual(["health", "carousel"]);
    expect(features.service("health")).toBe("grpc.health.v1.Health");
    expect(features.service("carousel")).toBe("rpc.Carousel");
  });

  it("give stubs of their class that call over the given channel", async () => {
    const connection = channelTo(await listen(new Health().addTo(new Server())));
    await becomes(connection, "ready");
    const client = features.client("health", connection.channel);
    expectTypeOf(client).toEqualTypeOf<HealthClient>();
    expect(client.getChannel()).toBe(connection.channel);
    const answer = await new Promise((resolve) =>
      client.check({ service: "" }, (error, value) => resolve(error ?? value)),
    );
    expect(answer).toEqual({ status: 1 });
  });

  it("give one stub per channel", () => {
    const [a, b] = [channelTo(1), channelTo(2)];
    expect(features.client("health", a.channel)).toBe(features.client("health", a.channel));
    expect(features.client("health", a.channel)).not.toBe(features.client("health", b.channel));
    expect(features.client("carousel", a.channel)).not.toBe(features.client("health", a.channel));
  });

  it("refuse a name that is none of them, also one that every object has", () => {
    const { channel } = channelTo(1);
    for (const name of ["nope", "constructor", "__proto__", ""]) {
      // @ts-expect-error: no such feature
      const call = (): unknown => features.client(name, channel);
      expect(call).toThrow(expect.objectContaining({ code: "no-feature" }));
    }
    // @ts-expect-error: no such feature
    const call = (): unknown => features.service("nope");
    expect(call).toThrow("there are health, carousel");
  });

  it("refuse a class without a service, or with methods of several", () => {
    const methods = (...paths: string[]): ClientConstructor =>
      makeGenericClientConstructor(
        Object.fromEntries(
          paths.map((path, index) => [
            `method${index}`,
            {
              path,
              requestStream: false,
              responseStream: false,
              requestSerialize: (bytes: Buffer) => bytes,
              requestDeserialize: (bytes: Buffer) => bytes,
              responseSerialize: (bytes: Buffer) => bytes,
              responseDeserialize: (bytes: Buffer) => bytes,
            },
          ]),
        ),
        "service",
      ) as unknown as ClientConstructor;
    expect(defineFeatures({ a: methods("/a.A/x", "/a.A/y") }).service("a")).toBe("a.A");
    for (const bad of [methods(), methods("/a.A/x", "/b.B/x"), methods("x"), methods("/a.A/b/c")])
      expect(() => defineFeatures({ bad })).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    expect(() => defineFeatures({ bad: undefined as unknown as ClientConstructor })).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});
