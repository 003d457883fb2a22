/**
 * One append at a time on Node with next to nothing around it: the same RPC in a bare loop of grpc-js, and of node:http2 alone. Neither looks for a
 * broker, checks anything, knows a route or tries again.
 */
import * as http2 from "node:http2";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { Call } from "./call.js";
import { jsonLines } from "./content.js";
import type { Done, Load } from "./loads.js";

/** One append; gives the broker's answer. */
interface BareAppend {
  readonly append: (messages: readonly Buffer[]) => Promise<Buffer>;
  readonly close: () => void;
}

const PATH = "/protocol.Journal/Append";

export function bareAppends(endpoint: string, mode: "bare-grpc-append" | "bare-http2-append"): Load {
  const { append, close } = mode === "bare-grpc-append" ? overGrpc(endpoint) : overHttp2(endpoint);
  return {
    prepare: ({ journal, count = 1, size = 1 }: Call) => {
      // Longer than 127 bytes would need another prefix.
      if (size > 127 || journal.length > 127) throw new Error("a bare append is of at most 127 bytes");
      const name = Buffer.from(journal);
      const request = Buffer.concat([Buffer.of(0x12, name.length), name]);
      const content = Buffer.concat([Buffer.of(0x22, size), jsonLines(size)]);
      const messages = [request, content, Buffer.alloc(0)];
      return async (): Promise<Done> => {
        const latencies: number[] = [];
        for (let index = 0; index < count; index++) {
          const begin = performance.now();
          const answer = await append(messages);
          latencies.push(performance.now() - begin);
          // A status other than OK is the answer's first field.
          if (answer[0] === 0x08) throw new Error(`the broker answered with status ${answer[1]}`);
        }
        return { ops: count, bytes: count * size, latencies };
      };
    },
    [Symbol.asyncDispose]: async () => close(),
  };
}

function overGrpc(endpoint: string): BareAppend {
  const client = new Client(new URL(endpoint).host, credentials.createInsecure());
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    append: (messages) =>
      new Promise((resolve, reject) => {
        const call = client.makeClientStreamRequest(PATH, same, same, new Metadata(), (error, answer) =>
          error === null ? resolve(answer ?? Buffer.alloc(0)) : reject(error),
        );
        for (const message of messages) call.write(message);
        call.end();
      }),
    close: () => client.close(),
  };
}

function overHttp2(endpoint: string): BareAppend {
  const session = http2.connect(endpoint);
  return {
    append: (messages) =>
      new Promise((resolve, reject) => {
        const stream = session.request({
          ":method": "POST",
          ":path": PATH,
          "content-type": "application/grpc",
          te: "trailers",
        });
        const parts: Buffer[] = [];
        let status: unknown;
        stream.on("data", (part: Buffer) => parts.push(part));
        stream.on("trailers", (trailers) => {
          status = trailers["grpc-status"];
        });
        stream.on("error", reject);
        stream.on("close", () =>
          status === "0"
            ? resolve(Buffer.concat(parts).subarray(5))
            : reject(new Error(`the call ended with gRPC's status ${String(status)}`)),
        );
        stream.end(Buffer.concat(messages.flatMap((message) => [prefix(message), message])));
      }),
    close: () => session.close(),
  };
}

function prefix({ length }: Buffer): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}
