import { MessageChannel, type MessagePort } from "node:worker_threads";

/**
 * Frees the memory in which a decoder gave out content, as soon as nobody wants it any more. V8 frees it only when it next collects the whole
 * heap, and does that the sooner the more such memory there is: ten times and more in 256 MiB of content, for 5 to 10 milliseconds each.
 * What is freed at once is also still in the processor's cache when the next content is written there.
 *
 * A decoder gives its content in order, so the memory of a buffer is spent once each of its bytes was, from the first to the last. Memory of
 * which a part was given to somebody else is never freed.
 */
export class SpentMemory {
  #buffer: ArrayBufferLike | undefined;
  #spent = 0;

  /** The first `count` bytes of a part were copied or dropped. Nobody but the decoder may have memory in the part's buffer, and no more use for it. */
  used({ buffer, byteOffset }: Uint8Array, count: number): void {
    if (byteOffset === 0) {
      this.#buffer = buffer;
      this.#spent = 0;
    }
    if (this.#buffer !== buffer || this.#spent !== byteOffset) {
      this.#buffer = undefined;
      return;
    }
    this.#spent += count;
    if (this.#spent === buffer.byteLength) {
      this.#buffer = undefined;
      if (buffer instanceof ArrayBuffer) {
        free ??= freeing();
        free(buffer);
      }
    }
  }
}

let free: Free | undefined;

/** Has `transfer` since ECMAScript 2024, which Node 20 does not know. */
type Transferable = ArrayBuffer & { transfer?(newLength: number): ArrayBuffer };

/** More than a decoder's largest chunk. */
const KEPT_BYTES = 8 * 1024 * 1024;

/** Detaches a buffer, so that its memory is freed now. Its length is 0 from then on. */
type Free = (buffer: ArrayBuffer) => void;

/** Made once in a process. */
function freeing(): Free {
  const free: Free =
    "transfer" in ArrayBuffer.prototype
      ? (buffer: Transferable) => void buffer.transfer?.(0)
      : transferTo(closedPort());
  // The malloc of glibc gives blocks of 128 KiB back to the system when they are freed, and getting such memory anew costs more than what
  // is written into it, until it has seen a larger block freed: from then on it keeps so much.
  free(new ArrayBuffer(KEPT_BYTES));
  return free;
}

/** What is transferred to a port whose other end is closed is thrown away. */
function transferTo(nowhere: MessagePort): Free {
  return (buffer) => nowhere.postMessage(undefined, [buffer]);
}

function closedPort(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  return port1;
}
