/** Looks at the bytes of a call while they arrive: which messages are in them. The frames are gRPC's, five bytes and the message. */

const HEADER_BYTES = 5;
/** Each piece of a message is kept until it is whole, and takes some hundred bytes however small it is. */
const MIN_PIECES = 64;
const BYTES_PER_PIECE = 256;

export class MessageFraming {
  readonly #header: Buffer = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  /** Of the last message. */
  #arrived = 0;
  #length = 0;
  #pieces = 0;
  #maxPieces = MIN_PIECES;
  #begun = 0;

  /** Messages whose length is known, of all that have come. */
  get begun(): number {
    return this.#begun;
  }
  /** The last one is not whole. */
  get isPartial(): boolean {
    return this.#headerBytes > 0;
  }
  /** What has arrived of it. */
  get partialBytes(): number {
    return this.#arrived;
  }
  /** The last one comes in far more pieces than a network makes of it. */
  get isCrumbled(): boolean {
    return this.#pieces > this.#maxPieces;
  }

  /** `onWhole` is told the length of each message that is whole. */
  add(chunk: Buffer, onWhole: (bytes: number, isCompressed: boolean) => void): void {
    this.#pieces += 1;
    for (let at = 0; at < chunk.length; ) {
      if (this.#headerBytes < HEADER_BYTES) {
        this.#header[this.#headerBytes] = chunk[at] as number;
        this.#headerBytes += 1;
        at += 1;
        if (this.#headerBytes < HEADER_BYTES) continue;
        this.#length = this.#header.readUInt32BE(1);
        this.#begun += 1;
        this.#pieces = 1;
        this.#maxPieces = MIN_PIECES + this.#length / BYTES_PER_PIECE;
      } else {
        const bytes = Math.min(this.#length - this.#arrived, chunk.length - at);
        this.#arrived += bytes;
        at += bytes;
      }
      if (this.#arrived < this.#length) continue;
      onWhole(this.#length, this.#header[0] === 1);
      this.#headerBytes = 0;
      this.#arrived = 0;
    }
    if (!this.isPartial) this.#pieces = 0;
  }
}
