import { uninitialized } from "./own-bytes.js";

/** Smaller pieces are copied together: each that is kept as it came costs some hundred bytes beside its own. */
const smallBytes = 4096;
const blockBytes = 64 * 1024;

/** Pieces of a blob that follow each other, in about as much memory as they have bytes: however small they are, and however many of them are empty. */
export class Assembly {
  #pieces: Uint8Array[] = [];
  /** The latest of them, when they are small. */
  #block: Uint8Array | undefined;
  #inBlock = 0;
  #bytes = 0;

  /** Of all that was added. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The caller will not change it. */
  add(piece: Uint8Array): void {
    if (piece.length === 0) return;
    const first = this.#bytes === 0;
    this.#bytes += piece.length;
    if (first || piece.length >= smallBytes) {
      this.#endBlock();
      this.#pieces.push(piece);
      return;
    }
    if (this.#inBlock + piece.length > blockBytes) this.#endBlock();
    this.#block ??= uninitialized(blockBytes);
    this.#block.set(piece, this.#inBlock);
    this.#inBlock += piece.length;
  }

  /** The blob, and nothing is left. One that came in one piece is that piece. */
  take(): Uint8Array {
    this.#endBlock();
    const [first] = this.#pieces;
    // No Buffer, whose `slice` is a view.
    const one =
      this.#pieces.length === 1 && first
        ? new Uint8Array(first.buffer, first.byteOffset, first.length)
        : undefined;
    const blob = one ?? joined(this.#pieces, this.#bytes);
    this.clear();
    return blob;
  }

  clear(): void {
    this.#pieces = [];
    this.#block = undefined;
    this.#inBlock = 0;
    this.#bytes = 0;
  }

  #endBlock(): void {
    if (this.#block && this.#inBlock > 0) this.#pieces.push(this.#block.slice(0, this.#inBlock));
    this.#inBlock = 0;
  }
}

function joined(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  const blob = uninitialized(bytes);
  let at = 0;
  for (const piece of pieces) {
    blob.set(piece, at);
    at += piece.length;
  }
  return blob;
}
