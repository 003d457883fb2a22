import { once } from "node:events";
import { connect } from "node:http2";
import { topics } from "@x/topic-gateway/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodePublishResponse } from "../src/grpc/codec.js";
import { createBufferServer } from "../src/index.js";

describe("answers to publishing", () => {
  it("are decoded by the generated code", () => {
    const run = fc.record({
      time: fc.bigInt({ min: 0n, max: 2n ** 60n - 1n }),
      sequence: fc.nat({ max: 2 ** 40 }),
      count: fc.nat(),
    });
    fc.assert(
      fc.property(fc.nat(), fc.maxSafeNat(), fc.array(run, { maxLength: 5 }), (lane, batch, runs) => {
        const bytes = encodePublishResponse({ type: "ack", lane, batch, runs });
        expect(topics.PublishResponse.decode(bytes)).toEqual({
          lane,
          ackedBatch: BigInt(batch),
          runs: runs.map((one) => ({ ...one, sequence: BigInt(one.sequence) })),
          refusal: undefined,
        });
      }),
    );
    const refused = encodePublishResponse({ type: "refused", lane: 3, code: "overloaded", message: "no" });
    expect(topics.PublishResponse.decode(refused)).toEqual({
      lane: 3,
      ackedBatch: 0n,
      runs: [],
      refusal: { code: "overloaded", message: "no" },
    });
  });
});

describe("a buffer's server", () => {
  it("lets a client send 4 MiB before it has to hear from it, from the first call on", async () => {
    await using server = await createBufferServer({ address: "127.0.0.1:0" });
    const session = connect(`http://${server.address}`);
    try {
      await once(session, "remoteSettings");
      const call = session.request({
        ":method": "POST",
        ":path": "/x.topics.v1.BufferService/Publish",
        "content-type": "application/grpc",
        te: "trailers",
      });
      call.on("error", () => {}); // no buffer is behind it: how the call ends is not looked at
      const [settings] = await once(session, "remoteSettings");
      expect(settings.initialWindowSize).toBe(4 * 1024 * 1024);
      // That of the whole connection comes in a frame behind the settings, and the answer to a ping behind that.
      await new Promise((resolve) => session.ping(resolve));
      expect(session.state.remoteWindowSize).toBe(4 * 1024 * 1024);
    } finally {
      session.destroy();
    }
  });
});
