import { decodeBody, type Headers, type MessageBody } from "../protocol/message.js";
import { formatMessageId, type MessageIdParts } from "../protocol/message-id.js";
import type { SegmentId } from "../protocol/segment-id.js";
import { formatAck } from "./ack-token.js";
import { type SegmentChunk, timeInRuns } from "./segment-chunk.js";

/**
 * A delivered message. Its parts are taken out of the bytes it came in when they are asked for; the bytes stay in memory, together
 * with those of the messages that came along, for as long as it does.
 */
export interface Message {
  /** A version-1 UUID. */
  readonly id: string;
  readonly idParts: MessageIdParts;
  readonly key: string;
  /** A view of shared memory: not to be written to. */
  readonly data: Uint8Array;
  readonly headers: Headers;
  /** Milliseconds since 1970 by the publisher's clock, may have a fraction. */
  readonly timeMs: number;
  /** The name of its segment in the topic, `{time}_{from}-{to}`. */
  readonly segment: string;
  /** Its place in the segment: 1, 2, 3, ... */
  readonly sequence: number;
  /** Names the message, and with it everything before it in its segment, to `Consumer.acknowledge`. Opaque. */
  readonly ack: string;
  /** As `Consumer.acknowledge(ack)`, without the way over text. */
  acknowledge(): Promise<void>;
}

/** Where messages come from: one lease on one segment. */
export interface MessageOrigin {
  readonly id: SegmentId;
  readonly name: string;
  readonly session: string;
  /** The create revision of the lease, as text. */
  readonly lease: string;
  acknowledge(sequence: number): Promise<void>;
}

const NO_HEADERS: Headers = Object.freeze({});

export class DeliveredMessage implements Message {
  readonly sequence: number;
  readonly #origin: MessageOrigin;
  readonly #chunk: SegmentChunk;
  #body: MessageBody | undefined;

  constructor(origin: MessageOrigin, chunk: SegmentChunk, sequence: number) {
    this.#origin = origin;
    this.#chunk = chunk;
    this.sequence = sequence;
  }

  get idParts(): MessageIdParts {
    const time = timeInRuns(this.#chunk.runs, this.sequence) ?? 0n;
    return { time, sequence: this.sequence, rangeFrom: this.#origin.id.range.from };
  }

  get id(): string {
    return formatMessageId(this.idParts);
  }

  get key(): string {
    return this.#decoded.key;
  }

  get data(): Uint8Array {
    return this.#decoded.data;
  }

  get headers(): Headers {
    return this.#decoded.headers ?? NO_HEADERS;
  }

  get timeMs(): number {
    return this.#decoded.time / 1000;
  }

  get segment(): string {
    return this.#origin.name;
  }

  get ack(): string {
    const { session, lease, name } = this.#origin;
    return formatAck({ session, lease, segment: name, sequence: this.sequence });
  }

  acknowledge(): Promise<void> {
    return this.#origin.acknowledge(this.sequence);
  }

  /** Of its body: key, headers and data. */
  get bytes(): number {
    const { bounds, firstSequence } = this.#chunk;
    const at = 2 * (this.sequence - firstSequence);
    return (bounds[at + 1] as number) - (bounds[at] as number);
  }

  get #decoded(): MessageBody {
    if (!this.#body) {
      const { bytes, bounds, firstSequence } = this.#chunk;
      const at = 2 * (this.sequence - firstSequence);
      this.#body = decodeBody(bytes.subarray(bounds[at], bounds[at + 1]));
    }
    return this.#body;
  }
}
