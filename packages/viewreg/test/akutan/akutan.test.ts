import { Server } from "@grpc/grpc-js";
import { infinity } from "@x/space";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  akutanExtension,
  akutanFeatures,
  akutanProbe,
  allFeatures,
  type CarouselClient,
  FactKeyEncoding,
  Feature,
  featureName,
  parseStats,
  type StatsResult,
} from "../../src/akutan.js";
import {
  type CarouselServer,
  CarouselService,
  type DiagnosticsServer,
  DiagnosticsService,
  StatsResult as StatsCodec,
} from "../../src/gen/rpc/views.js";
import { grpcConnector } from "../../src/grpc/index.js";
import { becomes, insecure, listen, onEnd } from "../grpc/servers.js";

const { KeyEncodingPOS, KeyEncodingSPO } = FactKeyEncoding;

async function connectTo(stats: Partial<StatsResult>, asked: string[] = []) {
  const server = new Server();
  const diagnostics: DiagnosticsServer = {
    stats: (call, callback) => {
      asked.push(call.getPath());
      callback(null, StatsCodec.fromPartial(stats));
    },
    profile: () => {},
    setLogLevel: () => {},
    updateStats: () => {},
  };
  const carousel: CarouselServer = {
    logStatus: () => {},
    ride: (call) => {
      call.write({
        facts: [{ index: 1n, id: 2n ** 63n, subject: 3n, predicate: 4n, object: Buffer.from("o") }],
      });
      call.end();
    },
  };
  server.addService(DiagnosticsService, diagnostics);
  server.addService(CarouselService, carousel);
  const endpoint = { host: "127.0.0.1", port: await listen(server) };
  const connection = grpcConnector({ credentials: insecure }).connect(endpoint);
  onEnd(() => connection.close());
  await becomes(connection, "ready");
  const context = { endpoint, signal: new AbortController().signal, timeoutMs: 500 };
  return { channel: connection.channel, probe: () => akutanProbe(connection.channel, context) };
}

describe("the features of a view server", () => {
  it("are bits with names", () => {
    expect(allFeatures).toEqual([1, 2, 4, 8]);
    expect(allFeatures.map((feature) => featureName(feature))).toEqual([
      "Diagnostics",
      "Carousel",
      "HashPO",
      "HashSP",
    ]);
    expect(featureName(Feature.HashSP)).toBe("HashSP");
    expect(featureName(64)).toBe("Unknown feature (64)");
  });

  it("are the gRPC services that Akutan has", () => {
    expect(akutanFeatures.names.map((name) => akutanFeatures.service(name))).toEqual([
      "rpc.Diagnostics",
      "rpc.Carousel",
      "rpc.ReadFactsPO",
      "rpc.ReadFactsSP",
    ]);
  });
});

describe("the statistics of a view server", () => {
  // The cases are those of Test_parsePingResult in Akutan's registry_test.go.
  it.each([
    ["all zero", { viewType: "" }, "view type"],
    ["another kind", { viewType: "megaview" }, "megaview"],
    ["no partition", { viewType: "diskview/sqlite" }, "key encoding 0"],
    ["an unknown encoding", { viewType: "diskview/sqlite", encoding: 1957 }, "key encoding 1957"],
    ["a range without hashes", { viewType: "diskview/sqlite", encoding: 1, start: 5n, end: 5n }, "no hash"],
  ])("are refused with %s", (_what, { viewType, encoding, start = 0n, end = 0n }: Fields, message) => {
    const hashPartition = encoding === undefined ? undefined : { start, end, encoding: encoding as 1 };
    expect(() => parseStats({ viewType, hashPartition })).toThrow(
      expect.objectContaining({ code: "bad-answer", message: expect.stringContaining(message) }),
    );
  });

  it("give HashPO and a partition without an end", () => {
    expect(
      parseStats({
        viewType: "diskview/sqlite",
        hashPartition: { encoding: KeyEncodingPOS, start: 0n, end: 0n },
      }),
    ).toEqual({
      features: ["Diagnostics", "Carousel", "HashPO"],
      partition: { hash: "PO", hashRange: { from: 0n, to: infinity } },
      serves: { from: 0n, to: infinity },
    });
  });

  it("give HashSP and a partition with an end", () => {
    const hashPartition = { encoding: KeyEncodingSPO, start: 16n, end: 32n };
    expect(parseStats({ viewType: "diskview/rocksdb", hashPartition })).toMatchObject({
      features: ["Diagnostics", "Carousel", "HashSP"],
      partition: { hash: "SP", hashRange: { from: 16n, to: 32n } },
    });
  });

  it("give a transaction timer nothing but Diagnostics, whatever partition it tells", () => {
    const hashPartition = { encoding: KeyEncodingSPO, start: 16n, end: 32n };
    expect(parseStats({ viewType: "txtimeout", hashPartition })).toEqual({ features: ["Diagnostics"] });
  });

  // Written by hand from the field numbers of Akutan's views.proto: viewType 7, hashPartition 15 { start 1, end 2, encoding 3 }.
  it("are read from the wire of Akutan", () => {
    const bytes = Buffer.concat([
      Buffer.from([0x3a, 15]),
      Buffer.from("diskview/sqlite"),
      Buffer.from([0x7a, 15, 0x08, 0x10, 0x10]),
      Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x18, 0x02]),
    ]);
    expect(parseStats(StatsCodec.decode(bytes)).serves).toEqual({ from: 16n, to: 2n ** 63n });
  });
});

interface Fields {
  readonly viewType: string;
  readonly encoding?: number;
  readonly start?: bigint;
  readonly end?: bigint;
}

describe("the probe of a view server", () => {
  it("calls rpc.Diagnostics.stats", async () => {
    const asked: string[] = [];
    const hashPartition = { encoding: KeyEncodingPOS, start: 1n, end: 2n };
    const { probe } = await connectTo({ viewType: "diskview/x", hashPartition }, asked);
    expect(await probe()).toMatchObject({ features: ["Diagnostics", "Carousel", "HashPO"] });
    expect(asked).toEqual(["/rpc.Diagnostics/stats"]);
  });

  it("says that a server of another kind answers badly", async () => {
    const { probe } = await connectTo({ viewType: "banana" });
    await expect(probe()).rejects.toMatchObject({ code: "bad-answer" });
  });
});

describe("a view of a view server", () => {
  it("has stubs and a partition", async () => {
    const { channel, probe } = await connectTo({ viewType: "txtimeout" });
    const view = Object.assign(Object.create(akutanExtension), { channel, info: await probe() });
    expect(view.partition).toBeUndefined();
    const carousel: CarouselClient = view.carousel();
    expect(view.carousel()).toBe(carousel);
    const facts: unknown[] = [];
    const request = { maxIndex: 9n, minIndex: 0n, dedicated: false, hashPartition: undefined };
    for await (const chunk of carousel.ride(request)) facts.push(...chunk.facts);
    expect(facts).toMatchObject([{ id: 2n ** 63n }]);
    for (const stub of [view.diagnostics(), view.hashPO(), view.hashSP()])
      expect(stub.getChannel()).toBe(channel);
    expectTypeOf(akutanExtension.carousel).returns.toEqualTypeOf<CarouselClient>();
  });
});
