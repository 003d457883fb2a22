const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Appends little-endian numbers, byte strings and texts to a growing buffer. */
export class ByteWriter {
  #buffer: Uint8Array = new Uint8Array(1024);
  #view: DataView = new DataView(this.#buffer.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  // Growing replaces the view, so the room is made before the view is looked at.
  u8(value: number): void {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
  }

  u32(value: number): void {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
  }

  u64(value: bigint): void {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, true);
  }

  /** With its length in front. */
  bytes(value: Uint8Array): void {
    this.u32(value.byteLength);
    const at = this.#grow(value.byteLength);
    this.#buffer.set(value, at);
  }

  text(value: string): void {
    this.bytes(encoder.encode(value));
  }

  /** What was written. The writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #grow(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#buffer.byteLength) {
      const larger = new Uint8Array(Math.max(this.#length, this.#buffer.byteLength * 2));
      larger.set(this.#buffer.subarray(0, at));
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** Reads what a ByteWriter wrote. @throws RangeError behind the end, TypeError for text that is not UTF-8 */
export class ByteReader {
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(buffer: Uint8Array) {
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  get left(): number {
    return this.#buffer.byteLength - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#skip(8), true);
  }

  /** A copy. */
  bytes(): Uint8Array {
    const length = this.u32();
    const at = this.#skip(length);
    return this.#buffer.slice(at, at + length);
  }

  text(): string {
    return decoder.decode(this.bytes());
  }

  #skip(count: number): number {
    const at = this.#at;
    if (count > this.left) throw new RangeError(`${count} bytes wanted, ${this.left} left`);
    this.#at += count;
    return at;
  }
}
