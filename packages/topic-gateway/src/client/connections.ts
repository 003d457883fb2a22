import { TopicError, type TopicErrorCode } from "../errors.js";
import type { BufferApi, BufferConnection, ConnectBuffer } from "../protocol/buffer-api.js";
import type { BufferHealth } from "../protocol/buffer-health.js";
import type { StateCache } from "../topics/cache.js";

/** One connection for each buffer that is spoken with, closed when the buffer is gone from the records. */
export class Connections implements AsyncDisposable {
  readonly #connect: ConnectBuffer;
  readonly #health: BufferHealth | undefined;
  readonly #open = new Map<string, BufferConnection>();
  readonly #unlisten: () => void;
  readonly #closing = new Set<Promise<void>>();

  constructor(
    connect: ConnectBuffer,
    cache: StateCache,
    { health }: { readonly health?: BufferHealth | undefined } = {},
  ) {
    this.#connect = connect;
    this.#health = health;
    let buffersSeen = "";
    this.#unlisten = cache.listen(() => {
      const addresses = [...cache.state.buffers.values()].map((buffer) => buffer.address).sort();
      const seen = addresses.join(" ");
      if (seen === buffersSeen) return;
      buffersSeen = seen;
      this.#keepOnly(new Set(addresses));
    });
  }

  to(address: string): BufferApi {
    let connection = this.#open.get(address);
    if (!connection) {
      connection = this.#connect(address);
      this.#open.set(address, connection);
    }
    return connection;
  }

  /** Asks a question, unless it is known that there will be no answer, and reports how it went. @throws as `toAsk`, and what `question` does */
  async ask<T>(
    address: string,
    question: (buffer: BufferApi, options: { readonly signal: AbortSignal }) => Promise<T>,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<T> {
    const buffer = this.toAsk(address);
    try {
      const answer = await question(buffer, { signal });
      this.report(address);
      return answer;
    } catch (error) {
      if (!signal.aborted) this.report(address, { error });
      throw error;
    }
  }

  /** For whoever reports by himself. @throws TopicError "unavailable" at once, naming the buffer, when it is known not to answer */
  toAsk(address: string): BufferApi {
    const unwell = this.unwell(address);
    if (unwell !== undefined) throw new TopicError("unavailable", `the buffer at ${address} is ${unwell}`);
    return this.to(address);
  }

  /** Why a buffer is no use now, if that is known. */
  unwell(address: string): string | undefined {
    return this.#health?.unwell(address);
  }

  /** How a question went. Not for one that the asker gave up: that says nothing about the buffer. */
  report(address: string, failure?: { readonly error: unknown }): void {
    this.#health?.report?.(address, failure && isFailure(failure.error) ? "failed" : "ok");
  }

  #keepOnly(addresses: ReadonlySet<string>): void {
    for (const [address, connection] of [...this.#open]) {
      if (!addresses.has(address)) this.#drop(address, connection);
    }
  }

  #drop(address: string, connection: BufferConnection): void {
    this.#open.delete(address);
    const closing: Promise<void> = Promise.resolve(connection[Symbol.asyncDispose]()).finally(() =>
      this.#closing.delete(closing),
    );
    this.#closing.add(closing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unlisten();
    this.#keepOnly(new Set());
    await Promise.allSettled([...this.#closing]);
  }
}

const FAILURES: ReadonlySet<TopicErrorCode> = new Set([
  "unavailable",
  "closed",
  "corrupt",
  "log-failed",
  "log-missing",
]);

/** That a buffer does not have a range any more, or a question is wrong, is an answer as good as any. */
function isFailure(error: unknown): boolean {
  return !(error instanceof TopicError) || FAILURES.has(error.code);
}
