/** The calls of a stub broker, and the scripts that are played to them. */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import * as wire from "../../src/gen/protocol/protocol.js";
import type { Status } from "../../src/protocol/responses.js";
import type { GrpcCall } from "./grpc-call.js";
import type { StubBroker } from "./stub-broker.js";

/** The fields of an answer, those that are left out being as on the wire: 0, "", or absent. */
export type Answer<Message> = Partial<Omit<Message, "status">> & { readonly status?: Status };

/** One call, as it came and with what can be done about it. */
export interface StubCall<Request, Response> {
  /** The message, or the first one of an Append. */
  readonly request: Request;
  readonly metadata: Readonly<Record<string, string>>;
  /** The client ended it before the broker did. */
  readonly cancelled: boolean;
  /** Of an Append: what came behind the request, until now. */
  readonly content: Buffer;
  readonly chunks: readonly Buffer[];
  /** Of an Append: the empty chunk came. */
  readonly committed: boolean;
  /** Of an Append: the client will send nothing more. */
  readonly halfClosed: boolean;
  readonly broker: StubBroker;
  readonly grpc: GrpcCall;
  send(answer: Answer<Response>): Promise<void>;
}

/** One step of a script. */
export type Step<Request, Response> = (call: StubCall<Request, Response>) => Promise<void> | void;

export type ReadCall = StubCall<wire.ReadRequest, wire.ReadResponse>;
export type AppendCall = StubCall<wire.AppendRequest, wire.AppendResponse>;
export type ListCall = StubCall<wire.ListRequest, wire.ListResponse>;
export type ApplyCall = StubCall<wire.ApplyRequest, wire.ApplyResponse>;
export type FragmentsCall = StubCall<wire.FragmentsRequest, wire.FragmentsResponse>;
export type HealthCall = StubCall<wire.FragmentStoreHealthRequest, wire.FragmentStoreHealthResponse>;

/** The calls of one method: those that came, and the scripts of those that will. */
export class Method<Request, Response> {
  readonly calls: StubCall<Request, Response>[] = [];
  readonly scripts: (readonly Step<Request, Response>[])[] = [];
  readonly request: wire.MessageFns<Request>;
  readonly response: wire.MessageFns<Response>;
  readonly fallback: Step<Request, Response>;
  readonly #waiting = new Set<() => void>();

  constructor(
    request: wire.MessageFns<Request>,
    response: wire.MessageFns<Response>,
    fallback: Step<Request, Response>,
  ) {
    this.request = request;
    this.response = response;
    this.fallback = fallback;
  }

  /** The call with this number, from 1, when it has come. */
  async arrival(number: number): Promise<StubCall<Request, Response>> {
    while (this.calls.length < number) await new Promise<void>((resolve) => this.#waiting.add(resolve));
    return this.calls[number - 1]!;
  }

  async play(grpc: GrpcCall, broker: StubBroker): Promise<void> {
    const { response } = this;
    const chunks: Buffer[] = [];
    let content: Buffer = Buffer.alloc(0);
    let joined = 0;
    let first: Request | undefined;
    let committed = false;
    grpc.onMessage((message) => {
      if (first === undefined) first = this.request.decode(message);
      else if (message.length === 0) committed = true;
      else chunks.push(wire.AppendRequest.decode(message).content);
    });
    await grpc.until(() => first !== undefined);
    const call: StubCall<Request, Response> = {
      request: first!,
      metadata: grpc.metadata,
      broker,
      grpc,
      chunks,
      get content() {
        if (joined < chunks.length) content = Buffer.concat([content, ...chunks.slice(joined)]);
        joined = chunks.length;
        return content;
      },
      get committed() {
        return committed;
      },
      get halfClosed() {
        return grpc.halfClosed;
      },
      get cancelled() {
        return grpc.cancelled;
      },
      send: (answer) => grpc.send(encodeAnswer(response, answer)),
    };
    const steps = this.scripts.shift() ?? [this.fallback];
    this.calls.push(call);
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
    for (const step of steps) await step(call);
    grpc.finish(0, "");
  }
}

function encodeAnswer<Message>(message: wire.MessageFns<Message>, answer: Answer<Message>): Uint8Array {
  const { content, ...rest } = answer as Answer<wire.ReadResponse>;
  const whole = { ...message.fromPartial({} as never), ...rest, status: wire.Status[answer.status ?? "OK"] };
  const encoded = message.encode(whole as Message).finish();
  if (content === undefined) return encoded;
  // The generated writer takes long over content, which is the last field anyway.
  const field = new BinaryWriter().tag(7, WireType.LengthDelimited).uint32(content.length).finish();
  return Buffer.concat([encoded, field, content]);
}
