import type { ServerUnaryCall } from "@grpc/grpc-js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GetOptions, StoredMessage, TopicClient } from "../src/client.js";
import type { GetRequest, GetResponse } from "../src/gen/ntail/streams/v1/service.js";
import { gatewayHandlers } from "../src/grpc/gateway-server.js";
import { formatMessageId, ticksOfMicros, ticksOfMs } from "../src/protocol/message-id.js";

/** A client that has one message, of this time of its id, and asks for it as the real one does. */
function clientWith(time: bigint): TopicClient {
  const client: Pick<TopicClient, "get"> = {
    async get(_topic, key, { fromTimeMs }: GetOptions = {}): Promise<StoredMessage | undefined> {
      if (fromTimeMs !== undefined && time < ticksOfMs(fromTimeMs)) return undefined;
      const id = formatMessageId({ time, sequence: 1, rangeFrom: 0 });
      return { id, key, data: Buffer.from("found"), headers: {}, timeMs: 0 };
    },
  };
  return client as unknown as TopicClient;
}

/** "found", or the code of the status. */
function askFrom(fromTime: bigint, time: bigint): Promise<string | number> {
  const request: GetRequest = { topic: "t", key: "k", fromTime };
  const call = { request, cancelled: false, on: () => {} } as unknown as ServerUnaryCall<
    GetRequest,
    GetResponse
  >;
  return new Promise((resolve) => {
    gatewayHandlers(clientWith(time)).get(call, (error, response) => {
      resolve(error ? (error.code ?? -1) : Buffer.from(response?.data ?? []).toString());
    });
  });
}

const NOT_FOUND = 5;
/** Microseconds from 1970 to 2200. */
const micros = fc.bigInt({ min: 1n, max: 7_258_118_400_000_000n });

describe("the from_time of a Get, in microseconds", () => {
  it("leaves out what is older by a ten-millionth of a second, and nothing that is not", async () => {
    await fc.assert(
      fc.asyncProperty(micros, fc.bigInt({ min: -40n, max: 40n }), async (from, distance) => {
        const expected = distance < 0n ? NOT_FOUND : "found";
        expect(await askFrom(from, ticksOfMicros(from) + distance)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  it("is any when it is not given, and may be as large as the wire allows", async () => {
    expect(await askFrom(0n, 1n)).toBe("found");
    expect(await askFrom(2n ** 63n - 1n, ticksOfMicros(7_258_118_400_000_000n))).toBe(NOT_FOUND);
  });
});
