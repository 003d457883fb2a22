import type { FileHandle } from "@x/coord";

/**
 * Room in a file, filled with zeros ahead of what is written. Overwriting it needs no new blocks and no new size, which makes
 * the sync of a small append two to three times faster.
 *
 * It is filled through a handle of its own: an error of a sync is told once to each handle, and a failure of the filling must
 * not take away what an append has to see.
 */
export class Room {
  readonly #open: () => Promise<FileHandle>;
  readonly #maxBytes: number;
  readonly #onFailure: (cause: unknown) => void;
  #end: number;
  #handle: FileHandle | undefined;
  #filling: Promise<void> | undefined;
  #off: boolean;

  constructor(options: {
    readonly open: () => Promise<FileHandle>;
    /** The size of the file, filled with zeros behind what is written. */
    readonly end: number;
    /** How much to prepare at once, 0 for nothing. */
    readonly maxBytes: number;
    readonly onFailure: (cause: unknown) => void;
  }) {
    this.#open = options.open;
    this.#end = options.end;
    this.#maxBytes = options.maxBytes;
    this.#onFailure = options.onFailure;
    this.#off = options.maxBytes === 0;
  }

  /** To await before a write that ends at `end`: zeros still on their way there would land on top of it. */
  async claim(end: number): Promise<void> {
    while (this.#filling && end > this.#end) await this.#filling;
    if (end > this.#end) this.#end = end;
  }

  /** Starts to fill more if less than half of a portion is left behind `position`. */
  prepare(position: number, appended: number): void {
    const portion = portionAt(position, this.#maxBytes);
    if (this.#off || this.#filling || appended >= LARGE_APPEND_BYTES) return;
    if (this.#end - position >= portion / 2) return;
    this.#filling = this.#fill(portion).finally(() => {
      this.#filling = undefined;
    });
  }

  async #fill(portion: number): Promise<void> {
    try {
      this.#handle ??= await this.#open();
      await this.#handle.write(zeros(portion), this.#end);
      await this.#handle.datasync();
      this.#end += portion;
    } catch (cause) {
      this.#off = true;
      this.#onFailure(cause);
    }
  }

  async close(): Promise<void> {
    this.#off = true;
    await this.#filling;
    await this.#handle?.close();
  }
}

/** Shared, since nobody writes into it: a portion of its own each time would be garbage as fast as messages come. */
const ZEROS: Uint8Array = new Uint8Array(64 * 1024);

function zeros(count: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let left = count; left > 0; left -= ZEROS.length)
    parts.push(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS);
  return parts;
}

const FIRST_PORTION_BYTES = 64 * 1024;
/** From here on, writing everything twice costs more than new blocks do (measured on ext4). */
const LARGE_APPEND_BYTES = 32 * 1024;

/** Small while a log is small, since a topic can have a thousand of them. */
export function portionAt(position: number, maxBytes: number): number {
  return Math.min(maxBytes, Math.max(FIRST_PORTION_BYTES, 2 ** Math.floor(Math.log2(Math.max(1, position)))));
}
