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
import { pickPorts } from "../../../../apps/harness/src/servers/ports.js";
import * as wire from "../../src/gen/protocol/protocol.js";
import { CallEnded, GrpcCall, resetSocket } from "./grpc-call.js";
import {
  type AppendCall,
  type ApplyCall,
  type FragmentsCall,
  type HealthCall,
  type ListCall,
  Method,
  type ReadCall,
  type Step,
} from "./stub-call.js";
import { serveAppend, serveApply, serveFragments, serveHealth, serveList, serveRead } from "./stub-memory.js";
import { specOf } from "./stub-values.js";

export type { AppendCall, ListCall, ReadCall, Step } from "./stub-call.js";
export { EMPTY_HEADER } from "./stub-memory.js";
export {
  accept,
  afterBytes,
  afterCommit,
  afterEnd,
  chunk,
  fail,
  hang,
  resetConnection,
  resetStream,
  say,
  sayBytes,
  sayPartOfFrame,
  serve,
  waitFor,
} from "./stub-steps.js";
export { fragmentOf, specOf } from "./stub-values.js";

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

  /**
   * On a port of its own, or on the one of a broker that was there before. Not on one that the system gives out: it would be another's as soon as the broker has
   * gone, and a client that dials it then could connect to itself.
   */
  static async start(
    options: { readonly zone?: string; readonly suffix?: string; readonly port?: number } = {},
  ): Promise<StubBroker> {
    const { zone = "zone-a", suffix = "broker-1" } = options;
    for (;;) {
      const port = options.port ?? (await pickPorts(1))[0];
      const server = createServer();
      const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
        server.once("error", resolve);
        server.listen(port, "127.0.0.1", () => resolve(undefined));
      });
      if (error === undefined) return new StubBroker(server, { zone, suffix });
      if (error.code !== "EADDRINUSE" || options.port !== undefined) throw error;
    }
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
