import { JournalError } from "../errors.js";

/** A call that goes on: aborted when it is cancelled. */
export type Turn = AbortSignal;

/** The calls of a reader, of which one goes on at a time, and what ends them: its caller's signal, or a cancel. */
export class Turns {
  readonly #caller: AbortSignal | undefined;
  #canceller: AbortController = new AbortController();
  #unlink: () => void = () => {};
  /** Of the call that goes on. One from before `begin` is not in the way. */
  #busy: Turn | undefined;

  constructor(caller: AbortSignal | undefined) {
    this.#caller = caller;
    this.begin();
  }

  /** Of the calls from now on. */
  get signal(): AbortSignal {
    return this.#canceller.signal;
  }

  /** Takes calls again, after a cancel. */
  begin(): void {
    const caller = this.#caller;
    const canceller = new AbortController();
    const abort = (): void => canceller.abort(caller?.reason);
    if (caller?.aborted) {
      abort();
    } else {
      caller?.addEventListener("abort", abort, { once: true });
    }
    this.#unlink = () => caller?.removeEventListener("abort", abort);
    this.#canceller = canceller;
  }

  /** Ends the call that goes on, and each later one until `begin`. */
  cancel(reason: unknown): void {
    this.#unlink();
    this.#canceller.abort(reason);
  }

  /** @throws the reason of the cancel; JournalError "invalid-argument" */
  enter(): Turn {
    const turn = this.signal;
    if (this.#busy === turn) {
      throw oneAtATime();
    }
    turn.throwIfAborted();
    this.#busy = turn;
    return turn;
  }

  leave(turn: Turn): void {
    if (this.#busy === turn) {
      this.#busy = undefined;
    }
  }

  /** After each wait of a call: what comes of one from before `begin` does not matter any more. @throws the reason of its cancel */
  checkCurrent(turn: Turn): void {
    if (turn !== this.#canceller.signal) {
      throw turn.reason;
    }
  }
}

export function oneAtATime(): JournalError {
  return new JournalError(
    "invalid-argument",
    "a reader takes one read or seek at a time: another is going on",
  );
}
