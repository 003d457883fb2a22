import { ConnectionError, pairOf } from "./connection.js";
import { copyValue } from "./copy.js";
import { Inbox } from "./inbox.js";
import type { Network } from "./network.js";
import type { SimProcess } from "./process.js";

export interface Message {
  readonly pair: string;
  readonly label: string;
  readonly notBeforeMs: number;
  readonly arrive: () => void;
}

export interface CallOptions {
  readonly network: Network;
  readonly id: string;
  readonly from: SimProcess;
  readonly address: string;
  readonly toName: string;
  readonly request: {
    readonly method: string;
    readonly body: unknown;
    readonly inputs?: AsyncIterable<unknown>;
    readonly signal?: AbortSignal;
    /** One answer, which also ends the call. */
    readonly isUnary?: boolean;
  };
}

type Side = "caller" | "server";

/** So many items may be on their way, or wait at the other end, before the sender waits. */
const WINDOW = 16;
/** Taken items are told of in lots, which spares half of all messages. */
const CREDIT = 4;

/** Shared: a stack trace for each call that ended well would cost more than all the rest of it. */
const ENDED = new ConnectionError("the call has ended");

/** One end of a call, which lives in one process. */
class End {
  readonly process: SimProcess;
  /** What has come in here. */
  readonly inbox: Inbox<unknown>;
  readonly abort: AbortController = new AbortController();
  isOpen = true;
  credit = WINDOW;
  onCredit: (() => void) | undefined;

  constructor(process: SimProcess, inbox: Inbox<unknown>) {
    this.process = process;
    this.inbox = inbox;
  }
}

/**
 * A call over the network: a request, a stream of inputs, a stream of answers, each in order and with a bounded number of
 * items on the way. Nothing in here runs in a process but through its `run`.
 */
export class Call {
  readonly id: string;
  readonly pair: string;
  readonly #options: CallOptions;
  readonly #ends: Partial<Record<Side, End>> = {};
  readonly #lastArrivalMs = { caller: 0, server: 0 };
  /** Items that came from each side and were taken since the last credit. */
  readonly #takenFrom = { caller: 0, server: 0 };
  /** A connection that broke carries nothing that was sent before. */
  #isBroken = false;

  constructor(options: CallOptions) {
    this.#options = options;
    this.id = options.id;
    this.pair = pairOf(options.from.name, options.toName);
  }

  answers(onStart: () => void): AsyncIterableIterator<unknown, undefined> {
    const { from, request } = this.#options;
    const { signal } = request;
    let isStarted = false;
    const onAbort = (): void => this.#leave(signal?.reason);
    const inbox: Inbox<unknown> = new Inbox(
      () => {
        if (!request.isUnary) this.#taken("server");
      },
      () => this.#leave(new ConnectionError("the caller has left")),
    );
    const end = new End(from, inbox);
    end.abort.signal.addEventListener("abort", () => signal?.removeEventListener("abort", onAbort));
    const start = (): void => {
      isStarted = true;
      if (signal?.aborted) {
        end.isOpen = false;
        inbox.fail(signal.reason);
        return;
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#ends.caller = end;
      onStart();
      this.#watchDeath(end, "server");
      const body = copyValue(request.body);
      this.#send("server", "open", () => this.#accept(body));
      if (request.inputs) void this.#pump(request.inputs, end, "server");
    };
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next() {
        if (!isStarted) start();
        return inbox.next();
      },
      return() {
        if (!isStarted) isStarted = true;
        return inbox.return();
      },
    };
  }

  /** Both sides lose the connection, each after its own delay, and what is on its way is lost. */
  break(why: string, delayMs: () => number): void {
    this.#isBroken = true;
    for (const side of ["caller", "server"] as const) {
      this.#options.network.scheduler.after(delayMs(), `${this.id}: ${side} learns: ${why}`, () =>
        this.lose(side, why),
      );
    }
  }

  /** One side gives the connection up, and says so to the other. */
  lose(side: Side, why: string): void {
    const end = this.#ends[side];
    if (!end?.isOpen) return;
    end.process.run(`${this.id} is lost`, () => {
      if (!end.isOpen) return;
      this.#close(end, new ConnectionError(why));
      const other = side === "caller" ? "server" : "caller";
      this.#send(other, "reset", () => this.#reset(other, "the peer gave the connection up"));
    });
  }

  #leave(reason: unknown): void {
    const end = this.#ends.caller;
    if (!end?.isOpen) return;
    this.#close(end, reason);
    this.#send("server", "cancel", () => this.#reset("server", "the caller has left"));
  }

  /** In the process of the end. */
  #close(end: End, reason: unknown): void {
    end.isOpen = false;
    end.inbox.fail(reason);
    end.onCredit?.();
    end.abort.abort(reason);
    if (end === this.#ends.caller) this.#options.network.forget(this);
  }

  #reset(side: Side, why: string): void {
    const end = this.#ends[side];
    if (end?.isOpen) this.#close(end, new ConnectionError(why));
  }

  /** An item was taken that `sender` had sent. */
  #taken(sender: Side): void {
    this.#takenFrom[sender] += 1;
    if (this.#takenFrom[sender] < CREDIT) return;
    this.#takenFrom[sender] = 0;
    this.#send(sender, "credit", () => this.#credit(sender));
  }

  #credit(side: Side): void {
    const end = this.#ends[side];
    if (!end?.isOpen) return;
    end.credit += CREDIT;
    end.onCredit?.();
  }

  /** The request has come to the address. Not in any process yet. */
  #accept(body: unknown): void {
    const { network, address, request } = this.#options;
    const listener = network.dial(address);
    if (listener === "silent") {
      network.scheduler.after(network.detectionMs("power cut"), `${this.id}: no answer`, () =>
        this.lose("caller", `nobody answers at ${address}`),
      );
      return;
    }
    if (listener === "refused") {
      this.#send("caller", "refused", () => this.#reset("caller", `nobody listens at ${address}`));
      return;
    }
    const { process, service } = listener;
    const inbox: Inbox<unknown> = new Inbox(
      () => this.#taken("caller"),
      () => undefined,
    );
    const end = new End(process, inbox);
    this.#ends.server = end;
    if (!request.inputs) inbox.end();
    this.#watchDeath(end, "caller");
    process.run(`${this.id} begins`, () => {
      if (!end.isOpen) return;
      const call = { inputs: inbox, signal: end.abort.signal };
      void this.#pump(service(request.method, body, call), end, "caller");
    });
  }

  /** Sends what a source gives to the other side, until it ends or the call does. Runs in the process of `end`. */
  async #pump(source: AsyncIterable<unknown>, end: End, to: Side): Promise<void> {
    let last = (): void => this.#finish(to);
    let label = "end";
    try {
      for await (const item of source) {
        if (!end.isOpen) return;
        while (end.credit === 0 && end.isOpen) {
          await new Promise<void>((resolve) => {
            end.onCredit = resolve;
          });
        }
        if (!end.isOpen) return;
        end.credit -= 1;
        const copy = copyValue(item);
        if (to === "caller" && this.#options.request.isUnary) {
          label = "answer";
          last = () => {
            this.#ends.caller?.inbox.push(copy);
            this.#finish("caller");
          };
          break;
        }
        this.#send(to, "item", () => this.#ends[to]?.inbox.push(copy));
      }
    } catch (error) {
      if (!end.isOpen) return;
      label = "error";
      last = () => this.#finish(to, error);
    }
    if (!end.isOpen) return;
    this.#send(to, label, last);
    // When the answers have ended, so has the call; when the inputs have, it goes on.
    if (to === "caller") {
      end.isOpen = false;
      end.abort.abort(ENDED);
    }
  }

  /** The other side has said its last. */
  #finish(side: Side, error?: unknown): void {
    const end = this.#ends[side];
    if (!end?.isOpen) return;
    if (error === undefined) end.inbox.end();
    else end.inbox.fail(error);
    if (side === "server") return;
    end.isOpen = false;
    end.onCredit?.();
    end.abort.abort(ENDED);
    this.#options.network.forget(this);
  }

  /** The peer of a process that died learns of it after a while; what was sent before arrives or not. */
  #watchDeath(end: End, peer: Side): void {
    const { network } = this.#options;
    const stop = end.process.onDeath((cause) => {
      end.isOpen = false;
      if (cause === "power cut") this.#isBroken = true;
      network.scheduler.after(network.detectionMs(cause), `${this.id}: ${peer} learns of a death`, () => {
        this.lose(peer, "the peer is gone");
      });
      if (peer === "server") network.forget(this);
    });
    end.abort.signal.addEventListener("abort", stop);
  }

  #send(to: Side, label: string, arrive: () => void): void {
    const { network } = this.#options;
    const isBroken = this.#isBroken;
    if (isBroken) return;
    this.#lastArrivalMs[to] = network.carry({
      pair: this.pair,
      label: `${this.id} ${label} to ${to}`,
      notBeforeMs: this.#lastArrivalMs[to],
      arrive: () => {
        if (this.#isBroken) return;
        const process = this.#ends[to]?.process;
        // The request itself arrives before there is anybody.
        if (label === "open" || !process) arrive();
        else process.run(`${this.id} ${label}`, arrive);
      },
    });
  }
}
