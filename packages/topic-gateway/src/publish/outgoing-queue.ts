import type { Outgoing } from "./outgoing.js";

/** How many places of messages that were taken may stay in front: giving them back costs a move of all the others. */
const MAX_EMPTY_PLACES = 1024;

/** Messages that wait to be sent, oldest first. A message that was taken is let go of at once, and with it the bytes of its body. */
export class OutgoingQueue {
  #messages: (Outgoing | undefined)[] = [];
  /** What is in front was taken. */
  #next = 0;
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#next === this.#messages.length;
  }

  /** Of the bodies of all. */
  get bytes(): number {
    return this.#bytes;
  }

  push(message: Outgoing): void {
    this.#messages.push(message);
    this.#bytes += message.body.length;
  }

  peek(): Outgoing | undefined {
    return this.#messages[this.#next];
  }

  take(): Outgoing | undefined {
    const message = this.#messages[this.#next];
    if (!message) return undefined;
    this.#messages[this.#next] = undefined;
    this.#next += 1;
    this.#bytes -= message.body.length;
    if (this.#next === this.#messages.length) this.#reset([]);
    else if (this.#next > MAX_EMPTY_PLACES && this.#next * 2 > this.#messages.length) {
      this.#reset(this.#messages.slice(this.#next));
    }
    return message;
  }

  /** In front of all others. */
  putBack(messages: readonly Outgoing[]): void {
    for (const { body } of messages) this.#bytes += body.length;
    this.#reset([...messages, ...this.#messages.slice(this.#next)]);
  }

  /** Oldest first. Nothing may be put in or taken meanwhile. */
  forEach(visit: (message: Outgoing) => void): void {
    for (let at = this.#next; at < this.#messages.length; at++) visit(this.#messages[at] as Outgoing);
  }

  /** Those whose call is settled wait for nothing any more. */
  dropSettled(): void {
    const left: Outgoing[] = [];
    this.#bytes = 0;
    this.forEach((message) => {
      if (message.call.settled) return;
      left.push(message);
      this.#bytes += message.body.length;
    });
    this.#reset(left);
  }

  #reset(messages: (Outgoing | undefined)[]): void {
    this.#messages = messages;
    this.#next = 0;
  }

  clear(): void {
    this.#reset([]);
    this.#bytes = 0;
  }
}
