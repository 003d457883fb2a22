import { createHash } from "node:crypto";
import {
  type AppendRequest,
  type AppendResponse,
  type AppendStream,
  type ApplyResponse,
  type CallOptions,
  type Clock,
  type FragmentStoreHealthResponse,
  type FragmentsResponse,
  type Header,
  JournalError,
  type ListResponse,
  type Random,
  type ReadResponse,
  type Route,
  type RoutedJournalClient,
  type Status,
} from "../src/index.js";

/** A clock that stands still until it is told to go on. */
export class StillClock implements Clock {
  now = 0;
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  #onTimer: (() => void)[] = [];

  wallMs(): number {
    return this.now;
  }

  monotonicMs(): number {
    return this.now;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.now + delayMs, callback };
    this.#timers.add(timer);
    for (const resolve of this.#onTimer.splice(0)) resolve();
    return () => void this.#timers.delete(timer);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Waits until somebody waits for the clock, and gives how long he wants to. */
  async nextDelayMs(): Promise<number> {
    while (this.#timers.size === 0) await new Promise<void>((resolve) => this.#onTimer.push(resolve));
    return Math.min(...[...this.#timers].map(({ at }) => at)) - this.now;
  }

  advance(ms: number): void {
    this.now += ms;
    for (const timer of this.#timers) {
      if (timer.at > this.now) continue;
      this.#timers.delete(timer);
      timer.callback();
    }
  }

  /** Waits for the next timer and goes there. */
  async step(): Promise<number> {
    const delayMs = await this.nextDelayMs();
    this.advance(delayMs);
    return delayMs;
  }
}

/** A clock for which every wait is over at once, in its order. */
export class HastyClock extends StillClock {
  override setTimer(delayMs: number, callback: () => void): () => void {
    let live = true;
    setImmediate(() => {
      this.now += delayMs;
      if (live) callback();
    });
    return () => {
      live = false;
    };
  }
}

export const middling: Random = { number: () => 0.5, bytes: (count) => new Uint8Array(count).fill(7) };

export function counting(): Random {
  let next = 0;
  return {
    number: () => 0.5,
    bytes: (count) => createHash("sha512").update(String(next++)).digest().subarray(0, count),
  };
}

export const ROUTE: Route = {
  members: [{ zone: "a", suffix: "broker" }],
  primary: 0,
  endpoints: ["http://127.0.0.1:8080"],
};

const HEADER: Header = {
  processId: { zone: "a", suffix: "broker" },
  route: ROUTE,
  etcd: { clusterId: 1n, memberId: 2n, revision: 3n, raftTerm: 4n },
};

export function unavailable(): JournalError {
  return new JournalError("transport", "nobody answers", { grpcCode: 14 });
}

/** What happens to one RPC instead of going well. */
export type Fault =
  | { readonly at: "write"; readonly error: unknown }
  | { readonly at: "early"; readonly status: Status; readonly storeHealthError?: string }
  | { readonly at: "commit"; readonly status: Status; readonly storeHealthError?: string }
  | { readonly at: "commit" | "after-commit"; readonly error: unknown };

export interface Rpc {
  readonly index: number;
  readonly request: AppendRequest;
  readonly chunks: Buffer[];
  end: "streaming" | "committed" | "refused" | "failed" | "aborted";
}

/** Brokers in memory: RPCs are recorded, faults are as planned, and what is committed stays. */
export class FakeBroker implements RoutedJournalClient {
  readonly rpcs: Rpc[] = [];
  readonly journals = new Map<string, Buffer[]>();
  readonly routes = new Map<string, Route>();
  readonly isNoopRouter = false;
  /** Asked when an RPC begins. */
  plan: (rpc: Rpc) => Fault | undefined = () => undefined;
  /** How long a chunk waits for flow control. */
  flow: ((rpc: Rpc) => Promise<void>) | undefined;
  /** Commits wait for it. */
  gate: Promise<void> = Promise.resolve();
  /** Told of each commit instead of keeping its content. */
  sink: ((rpc: Rpc) => void) | undefined;
  /** Given each chunk instead of keeping it. */
  look: ((rpc: Rpc, content: Uint8Array) => void) | undefined;
  #watchers: { readonly done: () => boolean; readonly resolve: () => void }[] = [];

  /** Holds all commits until the function is called. */
  hold(): () => void {
    let open = (): void => {};
    this.gate = new Promise((resolve) => {
      open = resolve;
    });
    return open;
  }

  /** Waits until so many RPCs have begun and reached their commit. */
  commits = 0;
  async reached(commits: number): Promise<void> {
    await this.until(() => this.commits >= commits);
  }

  async until(done: () => boolean): Promise<void> {
    if (done()) return;
    await new Promise<void>((resolve) => this.#watchers.push({ done, resolve }));
  }

  #changed(): void {
    for (const watcher of this.#watchers) {
      if (!watcher.done()) continue;
      this.#watchers = this.#watchers.filter((other) => other !== watcher);
      watcher.resolve();
    }
  }

  text(journal: string): string {
    return Buffer.concat(this.journals.get(journal) ?? []).toString();
  }

  texts(): string[] {
    return this.rpcs.map(({ chunks }) => Buffer.concat(chunks).toString());
  }

  openAppend(request: AppendRequest, options: CallOptions = {}): AppendStream {
    const rpc: Rpc = { index: this.rpcs.length, request, chunks: [], end: "streaming" };
    this.rpcs.push(rpc);
    const fault = this.plan(rpc);
    const { signal } = options;
    const fail = (error: unknown): never => {
      rpc.end = "failed";
      this.#changed();
      throw error;
    };
    const aborted = async (promise: Promise<void>): Promise<void> => {
      if (signal === undefined) return promise;
      if (signal.aborted) fail(signal.reason);
      let wake = (): void => {};
      await Promise.race([
        promise,
        new Promise<void>((resolve) => {
          wake = resolve;
          signal.addEventListener("abort", wake);
        }),
      ]);
      signal.removeEventListener("abort", wake);
      if (signal.aborted) fail(signal.reason);
    };
    return {
      write: async (content) => {
        if (signal?.aborted) fail(signal.reason);
        if (rpc.end !== "streaming") throw new Error(`written to after it was ${rpc.end}`);
        if (content.length === 0) throw new Error("an empty chunk was written");
        // As flow control does: the bytes are looked at later than they are given.
        for (let turn = 0; turn < 3; turn++) await undefined;
        await this.flow?.(rpc);
        if (fault?.at === "write") return fail(fault.error);
        if (fault?.at === "early") return false;
        if (this.look !== undefined) this.look(rpc, content);
        else rpc.chunks.push(Buffer.from(content));
        return true;
      },
      commit: async () => {
        if (rpc.end !== "streaming") throw new Error(`committed after it was ${rpc.end}`);
        this.commits++;
        this.#changed();
        await aborted(this.gate);
        if (fault !== undefined && fault.at !== "after-commit") {
          if ("error" in fault) return fail(fault.error);
          rpc.end = "refused";
          return this.response(rpc, fault.status, fault.storeHealthError);
        }
        this.sink?.(rpc);
        if (this.sink === undefined) {
          const kept = this.journals.get(request.journal) ?? [];
          kept.push(...rpc.chunks);
          this.journals.set(request.journal, kept);
        }
        if (fault !== undefined) return fail(fault.error);
        rpc.end = "committed";
        this.#changed();
        return this.response(rpc, "OK");
      },
      abort: async () => {
        if (rpc.end === "streaming") rpc.end = "aborted";
        this.#changed();
      },
    };
  }

  response(rpc: Rpc, status: Status, storeHealthError = ""): AppendResponse {
    const size = rpc.chunks.reduce((sum, { length }) => sum + length, 0);
    return {
      status,
      header: HEADER,
      commit:
        status === "OK"
          ? {
              journal: rpc.request.journal,
              begin: 100n,
              end: 100n + BigInt(size),
              sum: new Uint8Array(20),
              compressionCodec: "NONE",
              backingStore: "",
              modTime: 0n,
              pathPostfix: "",
            }
          : undefined,
      registers:
        status === "OK" || status === "REGISTER_MISMATCH"
          ? [{ name: "author", value: "somebody" }]
          : undefined,
      totalChunks: BigInt(rpc.chunks.length),
      delayedChunks: 0n,
      storeHealthError,
    };
  }

  route(item: string): Route {
    return this.routes.get(item) ?? { members: [], primary: -1, endpoints: [] };
  }

  updateRoute(item: string, route: Route | undefined): void {
    if (route === undefined) this.routes.delete(item);
    else this.routes.set(item, route);
  }

  openRead(): AsyncIterable<ReadResponse> {
    throw new Error("not asked for here");
  }

  openList(): AsyncIterable<ListResponse> {
    throw new Error("not asked for here");
  }

  apply(): Promise<ApplyResponse> {
    throw new Error("not asked for here");
  }

  listFragments(): Promise<FragmentsResponse> {
    throw new Error("not asked for here");
  }

  fragmentStoreHealth(): Promise<FragmentStoreHealthResponse> {
    throw new Error("not asked for here");
  }

  readonly fragments: RoutedJournalClient["fragments"] = {
    get: () => Promise.reject(new Error("not asked for here")),
  };
}

/** A service's append in one go. */
export function put(
  service: { startAppend: RoutedService["startAppend"] },
  journal: string,
  text: string,
  dependencies?: Parameters<RoutedService["startAppend"]>[1],
): ReturnType<RoutedService["startAppend"]> {
  const op = service.startAppend({ journal }, dependencies);
  op.writer.write(text);
  op.release();
  return op;
}

type RoutedService = import("../src/index.js").AsyncJournalClient;
