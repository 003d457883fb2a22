/**
 * A broker that does what a test says. It listens on 127.0.0.1 and speaks the wire's protocol with the generated codecs, so it knows nothing
 * of the conversions that it helps to test.
 *
 *   await using broker = await StubBroker.start();
 *   broker.onRead(say({ header: broker.header(), offset: 0n, writeHead: 6n, fragment: ... }), chunk(0n, "foobar"), resetConnection());
 *   broker.onAppend(afterCommit(), fail(14, "shutting down"));
 *
 * Each `on...` is the script of one call, in the order in which calls come. A call without a script is served from memory, as a small broker
 * would: journals exist once `create` has made them.
 */
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import * as wire from "../../src/gen/protocol/protocol.js";
import type { Status } from "../../src/protocol/responses.js";
import { CallEnded, GrpcCall, resetSocket } from "./grpc-call.js";
import { serveAppend, serveApply, serveFragments, serveHealth, serveList, serveRead } from "./stub-memory.js";
import { specOf } from "./stub-values.js";

export { EMPTY_HEADER } from "./stub-memory.js";
export { fragmentOf, specOf } from "./stub-values.js";

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
class Method<Request, Response> {
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
        return Buffer.concat(chunks);
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
  const whole = {
    ...message.fromPartial({} as never),
    ...answer,
    status: wire.Status[answer.status ?? "OK"],
  };
  return message.encode(whole as Message).finish();
}

export class StubBroker {
  readonly endpoint: string;
  readonly id: wire.ProcessSpec_ID;
  /** What is served from memory. */
  readonly journals = new Map<string, { content: Buffer; spec: wire.JournalSpec; revision: bigint }>();
  /** Of etcd; grows with each journal that is made or taken away. */
  revision = 100n;
  /** What scripts threw: a test that ends well has none. */
  readonly scriptErrors: unknown[] = [];
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #changed = new Set<() => void>();
  readonly #read = new Method(wire.ReadRequest, wire.ReadResponse, serveRead);
  readonly #append = new Method(wire.AppendRequest, wire.AppendResponse, serveAppend);
  readonly #list = new Method(wire.ListRequest, wire.ListResponse, serveList);
  readonly #apply = new Method(wire.ApplyRequest, wire.ApplyResponse, serveApply);
  readonly #fragments = new Method(wire.FragmentsRequest, wire.FragmentsResponse, serveFragments);
  readonly #health = new Method(
    wire.FragmentStoreHealthRequest,
    wire.FragmentStoreHealthResponse,
    serveHealth,
  );

  private constructor(server: Http2Server, id: wire.ProcessSpec_ID) {
    this.#server = server;
    this.id = id;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => {});
      session.on("close", () => this.#sessions.delete(session));
    });
    server.on("sessionError", () => {});
    server.on("stream", (stream, headers) => void this.#play(new GrpcCall(stream, headers)));
  }

  /** On a port of its own, or on the one of a broker that was there before. */
  static async start(
    options: { readonly zone?: string; readonly suffix?: string; readonly port?: number } = {},
  ): Promise<StubBroker> {
    const { zone = "zone-a", suffix = "broker-1", port = 0 } = options;
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    return new StubBroker(server, { zone, suffix });
  }

  get port(): number {
    return Number(new URL(this.endpoint).port);
  }

  /** All calls that came, in order. */
  get reads(): readonly ReadCall[] {
    return this.#read.calls;
  }
  get appends(): readonly AppendCall[] {
    return this.#append.calls;
  }
  get lists(): readonly ListCall[] {
    return this.#list.calls;
  }
  get applies(): readonly ApplyCall[] {
    return this.#apply.calls;
  }
  get fragmentLists(): readonly FragmentsCall[] {
    return this.#fragments.calls;
  }
  get healths(): readonly HealthCall[] {
    return this.#health.calls;
  }

  /** The Read (Append, List) with this number, from 1, once it has come. */
  nthRead(number: number): Promise<ReadCall> {
    return this.#read.arrival(number);
  }
  nthAppend(number: number): Promise<AppendCall> {
    return this.#append.arrival(number);
  }
  nthList(number: number): Promise<ListCall> {
    return this.#list.arrival(number);
  }

  /** The script of the next Read that has none. When its steps are done, the call ends well. */
  onRead(...steps: Step<wire.ReadRequest, wire.ReadResponse>[]): this {
    this.#read.scripts.push(steps);
    return this;
  }
  onAppend(...steps: Step<wire.AppendRequest, wire.AppendResponse>[]): this {
    this.#append.scripts.push(steps);
    return this;
  }
  onList(...steps: Step<wire.ListRequest, wire.ListResponse>[]): this {
    this.#list.scripts.push(steps);
    return this;
  }
  onApply(...steps: Step<wire.ApplyRequest, wire.ApplyResponse>[]): this {
    this.#apply.scripts.push(steps);
    return this;
  }
  onFragments(...steps: Step<wire.FragmentsRequest, wire.FragmentsResponse>[]): this {
    this.#fragments.scripts.push(steps);
    return this;
  }
  onFragmentStoreHealth(
    ...steps: Step<wire.FragmentStoreHealthRequest, wire.FragmentStoreHealthResponse>[]
  ): this {
    this.#health.scripts.push(steps);
    return this;
  }

  /** A header of this broker. By default it is the only member of the route, and its primary. */
  header(
    route: {
      readonly members?: readonly wire.ProcessSpec_ID[];
      readonly endpoints?: readonly string[];
      readonly primary?: number;
    } = {},
  ): wire.Header {
    const { members = [this.id], endpoints = route.members ? [] : [this.endpoint], primary = 0 } = route;
    return {
      processId: this.id,
      route: { members: [...members], endpoints: [...endpoints], primary },
      etcd: { clusterId: 12n, memberId: 34n, revision: this.revision, raftTerm: 78n },
    };
  }

  /** Makes a journal in memory. */
  create(journal: string, content: string | Uint8Array = ""): void {
    this.revision++;
    this.journals.set(journal, {
      content: Buffer.from(content),
      spec: specOf(journal),
      revision: this.revision,
    });
    this.touch();
  }

  /** Adds to a journal in memory, without an Append. */
  grow(journal: string, content: string | Uint8Array): void {
    const kept = this.journals.get(journal)!;
    kept.content = Buffer.concat([kept.content, Buffer.from(content)]);
    this.touch();
  }

  /** What is in a journal of memory. */
  content(journal: string): Buffer {
    return this.journals.get(journal)!.content;
  }

  /** Settles when memory has changed. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#changed.add(resolve));
  }

  /** Wakes who waits for a change of memory. */
  touch(): void {
    for (const resolve of this.#changed) resolve();
    this.#changed.clear();
  }

  /** Breaks all connections; new ones are taken. */
  resetConnections(): void {
    for (const session of this.#sessions) resetSocket(session);
  }

  /** Tells all clients to connect anew (GOAWAY), and lets their calls end. */
  goAway(): void {
    for (const session of this.#sessions) session.close();
  }

  /** Breaks all connections, and takes none. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.resetConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #play(grpc: GrpcCall): Promise<void> {
    try {
      await this.#method(grpc);
    } catch (error) {
      if (error instanceof CallEnded) return;
      this.scriptErrors.push(error);
      grpc.finish(13, `the script failed: ${String(error)}`);
    }
  }

  #method(grpc: GrpcCall): Promise<void> | void {
    switch (grpc.path) {
      case "/protocol.Journal/Read":
        return this.#read.play(grpc, this);
      case "/protocol.Journal/Append":
        return this.#append.play(grpc, this);
      case "/protocol.Journal/List":
        return this.#list.play(grpc, this);
      case "/protocol.Journal/Apply":
        return this.#apply.play(grpc, this);
      case "/protocol.Journal/ListFragments":
        return this.#fragments.play(grpc, this);
      case "/protocol.Journal/FragmentStoreHealth":
        return this.#health.play(grpc, this);
      default:
        return grpc.finish(12, `no such method: ${grpc.path}`);
    }
  }
}

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
