/** The steps that scripts of a stub broker are made of. */
import type * as wire from "../../src/gen/protocol/protocol.js";
import type { Answer, Step, StubCall } from "./stub-call.js";
import { serveAppend, serveRead } from "./stub-memory.js";

/** Sends an answer (of a stream: one of them). */
export function say<Request, Response>(
  answer: Answer<Response> | ((call: StubCall<Request, Response>) => Answer<Response>),
): Step<Request, Response> {
  return (call) => call.send(typeof answer === "function" ? answer(call) : answer);
}

/** Sends a chunk of content. */
export function chunk(
  offset: bigint,
  content: string | Uint8Array,
): Step<wire.ReadRequest, wire.ReadResponse> {
  return (call) => call.send({ offset, content: Buffer.from(content) });
}

/** Sends a message of these bytes, which may be no message at all. */
export function sayBytes(bytes: Uint8Array): Step<unknown, unknown> {
  return (call) => call.grpc.send(bytes);
}

/** Sends a part of a gRPC frame: the next step had better end the call. */
export function sayPartOfFrame(length: number, part: Uint8Array): Step<unknown, unknown> {
  return (call) => {
    const frame = Buffer.alloc(5 + part.length);
    frame.writeUInt32BE(length, 1);
    frame.set(part, 5);
    return call.grpc.sendRaw(frame);
  };
}

/** Ends the call with a status of gRPC, as 14 for unavailable. */
export function fail(code: number, details = ""): Step<unknown, unknown> {
  return ({ grpc }) => grpc.finish(code, details);
}

/** Resets the stream of the call. The code is HTTP/2's, by default 2, an internal error. */
export function resetStream(code = 2): Step<unknown, unknown> {
  return ({ grpc }) => grpc.resetStream(code);
}

/** Destroys the connection of the call. */
export function resetConnection(): Step<unknown, unknown> {
  return ({ grpc }) => grpc.resetConnection();
}

/** Says nothing more until the client ends the call. */
export function hang(): Step<unknown, unknown> {
  return ({ grpc }) => grpc.until(() => false);
}

/** Goes on when the test says so. */
export function waitFor(gate: Promise<unknown>): Step<unknown, unknown> {
  return async ({ grpc }) => {
    let open = false;
    void gate.then(() => {
      open = true;
      grpc.changed();
    });
    await grpc.until(() => open);
  };
}

/** Goes on when so many bytes of an Append's content have come. */
export function afterBytes(count: number): Step<unknown, unknown> {
  return (call) => call.grpc.until(() => call.content.length >= count);
}

/** Goes on when the commit of an Append has come, and the client has ended its stream. */
export function afterCommit(): Step<unknown, unknown> {
  return (call) => call.grpc.until(() => call.committed && call.halfClosed);
}

/** Goes on when the client of an Append has ended its stream, with or without a commit. */
export function afterEnd(): Step<unknown, unknown> {
  return (call) => call.grpc.until(() => call.halfClosed);
}

/** Takes an Append into memory, as without a script. */
export function accept(): Step<wire.AppendRequest, wire.AppendResponse> {
  return serveAppend;
}

/** Serves a Read from memory, as without a script. */
export function serve(): Step<wire.ReadRequest, wire.ReadResponse> {
  return serveRead;
}
