import { resolve } from "node:path";
import { BlobError } from "../errors.js";
import { refBytes } from "../ref.js";
import { type QueueFiles, readWhole } from "../replica/queue/files.js";
import type { CallOptions } from "../store.js";
import { fileError, systemCode } from "../stores/file-errors.js";
import { nodeFiles } from "../stores/node-files.js";
import { compareRefBytes } from "./ref-reader.js";
import { replaceFile } from "./replace-file.js";

/** Where `gc` keeps what is to be deleted when it is still garbage the next time. One `gc` uses it at a time. */
export interface CandidateStore {
  /** What was saved last; undefined when nothing was. */
  load(options?: CallOptions): Promise<Uint8Array | undefined>;
  save(bytes: Uint8Array, options?: CallOptions): Promise<void>;
}

export function memoryCandidateStore(): CandidateStore {
  let saved: Uint8Array | undefined;
  return {
    load: async () => saved,
    async save(bytes) {
      saved = new Uint8Array(bytes);
    },
  };
}

/** In a file, which is replaced as a whole. */
export function fileCandidateStore(
  path: string,
  ports: { readonly files?: QueueFiles } = {},
): CandidateStore {
  if (typeof path !== "string" || path === "" || path.includes("\0")) {
    throw new BlobError("invalid-argument", `a candidate file needs a path, not ${JSON.stringify(path)}`);
  }
  const files = ports.files ?? nodeFiles;
  const file = resolve(path);
  return {
    async load() {
      try {
        return await readWhole(files, file);
      } catch (error) {
        if (systemCode(error) === "ENOENT") return undefined;
        throw fileError(error, file, "reading the candidates");
      }
    },
    async save(bytes) {
      try {
        await replaceFile(files, file, bytes);
      } catch (error) {
        throw fileError(error, file, "writing the candidates");
      }
    },
  };
}

const magic = Buffer.from([0x89, 0x62, 0x47, 0x63, 1]);
const entryBytes = refBytes + 6;

/** Candidates in the order of their refs, packed: 38 bytes each, of which the last six are when they became one. */
export class CandidateReader {
  readonly #bytes: Buffer;
  #at = magic.length;

  /** @throws BlobError "bad-data" */
  constructor(bytes: Uint8Array = magic) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const whole = (bytes.length - magic.length) % entryBytes === 0;
    if (!whole || !this.#bytes.subarray(0, magic.length).equals(magic)) {
      throw new BlobError("bad-data", "these are no candidates of gc");
    }
  }

  /** Since when the ref is a candidate; undefined when it is none. To be asked in the order of the refs. */
  sinceMs(page: Uint8Array, at: number): number | undefined {
    for (; this.#at < this.#bytes.length; this.#at += entryBytes) {
      const order = compareRefBytes(this.#bytes, this.#at, page, at);
      if (order === 0) return this.#bytes.readUIntBE(this.#at + refBytes, 6);
      if (order > 0) return undefined;
    }
    return undefined;
  }
}

export class CandidateWriter {
  readonly #max: number;
  #bytes: Buffer = Buffer.from(magic);
  #length = magic.length;
  #dropped = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get count(): number {
    return (this.#length - magic.length) / entryBytes;
  }

  /** How many there was no room for. */
  get dropped(): number {
    return this.#dropped;
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Behind all that were added. */
  add(page: Uint8Array, at: number, sinceMs: number): void {
    if (this.count >= this.#max) {
      this.#dropped++;
      return;
    }
    this.#write(this.#length, page.subarray(at, at + refBytes), sinceMs);
  }

  /** At its place, which is near the end as a rule. One that waits already: where there is no room, the last one makes it. */
  insert(ref: Uint8Array, sinceMs: number): void {
    if (this.count >= this.#max) {
      this.#dropped++;
      if (this.count === 0 || compareRefBytes(ref, 0, this.#bytes, this.#length - entryBytes) > 0) return;
      this.#length -= entryBytes;
    }
    let low = 0;
    for (let high = this.count; low < high; ) {
      const middle = (low + high) >>> 1;
      if (compareRefBytes(this.#bytes, magic.length + middle * entryBytes, ref, 0) < 0) low = middle + 1;
      else high = middle;
    }
    this.#write(magic.length + low * entryBytes, ref, sinceMs);
  }

  #write(at: number, ref: Uint8Array, sinceMs: number): void {
    if (this.#length + entryBytes > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(1024 * entryBytes, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#bytes.copyWithin(at + entryBytes, at, this.#length);
    this.#bytes.set(ref, at);
    this.#bytes.writeUIntBE(sinceMs, at + refBytes, 6);
    this.#length += entryBytes;
  }
}
