/** Keeps each call of a server within what all of them may hold together, and takes away what stands still. */
import { constants, type ServerHttp2Stream } from "node:http2";
import { ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";
import type { Clock } from "../protocol/runtime.js";
import { MessageFraming } from "./message-framing.js";
import type { ServerLoad } from "./server-load.js";

type NextCall = Parameters<ServerInterceptor>[1];
type Listener = Parameters<NextCall["start"]>[0];
type CallStatus = Parameters<NextCall["sendStatus"]>[0];

export interface CallLimits {
  readonly load: ServerLoad;
  readonly clock: Pick<Clock, "setTimer">;
  readonly stallTimeoutMs: number;
  /** Of one message. */
  readonly maxRequestBytes: number;
}

/** About what a message takes beside its bytes. */
const MESSAGE_BYTES = 512;
/** Deflate does not do better. */
const MAX_RATIO = 1032;
/** For a client that has its answer to end its own side. */
const LINGER_MS = 1_000;

/** The bytes are counted on the stream under the call, where grpc-js 1.14 keeps it. */
export function limitedCalls(limits: CallLimits): ServerInterceptor {
  return (method, call) => {
    const { stream } = call as { readonly stream?: ServerHttp2Stream };
    return stream
      ? new LimitedCall(call, { ...limits, stream, isStream: method.requestStream })
      : new ServerInterceptingCall(call);
  };
}

class LimitedCall extends ServerInterceptingCall {
  readonly #limits: CallLimits;
  readonly #stream: ServerHttp2Stream;
  /** Of requests. */
  readonly #isStream: boolean;
  readonly #isRefused: boolean;
  readonly #framing: MessageFraming = new MessageFraming();
  /** How many messages are unanswered of each size, a power of two. */
  readonly #unanswered: number[] = [];
  /** Of the message that is not whole, as counted. */
  #partialBytes = 0;
  #delivered = 0;
  #unsentBytes = 0;
  #isReading = false;
  #isEnded = false;
  #timer: { readonly delayMs: number; readonly cancel: () => void } | undefined;

  constructor(
    call: NextCall,
    options: CallLimits & { readonly stream: ServerHttp2Stream; readonly isStream: boolean },
  ) {
    super(call);
    this.#limits = options;
    this.#stream = options.stream;
    this.#isStream = options.isStream;
    this.#isRefused = !options.load.enter();
    // In front of grpc-js, which then does not look at what is refused. It has paused the stream: listening alone sets nothing going.
    this.#stream.prependListener("data", (chunk: Buffer) => this.#onData(chunk));
    this.#stream.once("close", () => this.#onClose());
  }

  override start(listener: Listener): void {
    if (this.#isRefused) {
      this.#refuse("the server has too many calls");
      return;
    }
    super.start({
      onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message) => {
        this.#delivered += 1;
        this.#isReading = false;
        this.#watch(true);
        listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => {
        this.#isReading = false;
        this.#watch(true);
        listener.onReceiveHalfClose();
      },
      onCancel: () => {
        this.#end();
        listener.onCancel();
      },
    });
  }

  override startRead(): void {
    // What has begun to arrive is counted already: it would hold up others, were it not read.
    const isNew = this.#framing.begun === this.#delivered;
    if (this.#isStream && isNew && this.#limits.load.isBusy) this.#limits.load.wait(this.#read);
    else this.#read();
  }

  readonly #read = (): void => {
    this.#isReading = true;
    this.#watch();
    super.startRead();
  };

  override sendMessage(message: unknown, callback: () => void): void {
    const before = this.#stream.writableLength;
    super.sendMessage(message, () => {
      this.#onSent(bytes);
      callback();
    });
    const bytes = this.#stream.writableLength - before;
    if (this.#limits.load.tryAdd(bytes)) {
      this.#unsentBytes += bytes;
      this.#watch();
    } else this.#reset();
  }

  override sendStatus(told: CallStatus): void {
    super.sendStatus(told);
    this.#end();
  }

  #onData(chunk: Buffer): void {
    if (this.#isEnded) return;
    const { load, maxRequestBytes } = this.#limits;
    let bytes = -this.#partialBytes;
    this.#framing.add(chunk, (length, isCompressed) => {
      const unpacked = isCompressed ? length * MAX_RATIO : length;
      const sizeClass = sizeClassOf(Math.min(unpacked, maxRequestBytes) + MESSAGE_BYTES);
      this.#unanswered[sizeClass] = (this.#unanswered[sizeClass] ?? 0) + 1;
      bytes += 2 ** sizeClass;
    });
    this.#partialBytes = this.#framing.partialBytes;
    bytes += this.#partialBytes;
    if (!load.tryAdd(bytes)) {
      load.add(bytes);
      this.#refuse("the server holds too many messages");
    } else if (this.#framing.isCrumbled) this.#refuse("the message comes in too many pieces");
    else this.#watch();
  }

  /** Each message has one answer, not always in their order: it counts as that of the smallest, so that never too little is counted. */
  #onSent(bytes: number): void {
    if (this.#stream.destroyed) return;
    const smallest = this.#unanswered.findIndex((count) => count > 0);
    if (smallest >= 0) {
      this.#unanswered[smallest] = (this.#unanswered[smallest] as number) - 1;
      this.#limits.load.remove(2 ** smallest);
    }
    this.#unsentBytes -= bytes;
    this.#limits.load.remove(bytes);
    this.#watch(true);
  }

  #refuse(why: string): void {
    this.sendStatus({ code: status.RESOURCE_EXHAUSTED, details: `${why}: try again in a moment` });
  }

  /** Its status is on its way, or its client is gone: nothing of its requests is kept. */
  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#limits.load.forget(this.#read);
    for (const [sizeClass, count] of this.#unanswered.entries())
      this.#limits.load.remove((count ?? 0) * 2 ** sizeClass);
    this.#unanswered.length = 0;
    this.#limits.load.remove(this.#partialBytes);
    this.#partialBytes = 0;
    this.#watch();
  }

  #onClose(): void {
    this.#end();
    this.#timer?.cancel();
    this.#limits.load.remove(this.#unsentBytes);
    this.#unsentBytes = 0;
    if (!this.#isRefused) this.#limits.load.leave();
  }

  /** @param hasMoved what was waited for before has come */
  #watch(hasMoved = false): void {
    const delayMs = this.#delayMs();
    if (delayMs === this.#timer?.delayMs && !hasMoved) return;
    this.#timer?.cancel();
    this.#timer =
      delayMs === undefined || this.#stream.destroyed
        ? undefined
        : { delayMs, cancel: this.#limits.clock.setTimer(delayMs, () => this.#onTimeout()) };
  }

  #delayMs(): number | undefined {
    if (this.#unsentBytes > 0) return this.#limits.stallTimeoutMs;
    if (this.#isEnded) return LINGER_MS;
    const isOwed = this.#isReading && (this.#framing.isPartial || !this.#isStream);
    return isOwed ? this.#limits.stallTimeoutMs : undefined;
  }

  #onTimeout(): void {
    this.#timer = undefined;
    if (this.#unsentBytes > 0) this.#reset();
    else if (this.#isEnded) this.#stream.close(constants.NGHTTP2_NO_ERROR);
    else this.sendStatus({ code: status.DEADLINE_EXCEEDED, details: "the request did not arrive in time" });
  }

  /** What was written is dropped with the stream. To clients this is RESOURCE_EXHAUSTED. */
  #reset(): void {
    this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }
}

function sizeClassOf(bytes: number): number {
  return 32 - Math.clz32(bytes - 1);
}
