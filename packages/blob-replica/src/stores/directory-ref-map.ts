import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes, refToBytes } from "../ref.js";
import { systemClock, systemProcess, systemRandom } from "../system.js";
import { DirectoryLayout, listFolders } from "./directory-layout.js";
import type { DirectoryPorts } from "./directory-ports.js";
import { DirectoryReader } from "./directory-reader.js";
import { DirectoryWriter } from "./directory-write.js";
import { fileError, systemCode } from "./file-errors.js";
import { KeyedLock } from "./keyed-lock.js";
import { nodeFiles } from "./node-files.js";
import type { RefMap } from "./ref-map.js";

const checkBytes = 8;

/**
 * A file for each ref, `refs/aa/aabb/<ref>` below the folder, written and synced as the directory store does with blobs: the ref of the other blob and 8 bytes of the
 * SHA-256 of both, so that a torn one is no ref. It may be the folder of a directory store. It holds hashes of the content in clear: keep that of encrypted blobs where
 * nobody reads it who may not know what they are.
 */
export function directoryRefMap(
  dir: string,
  options: { readonly ports?: Partial<DirectoryPorts> } = {},
): RefMap {
  const layout = new DirectoryLayout(resolve(dir), "refs");
  const ports: DirectoryPorts = {
    files: options.ports?.files ?? nodeFiles,
    clock: options.ports?.clock ?? systemClock,
    random: options.ports?.random ?? systemRandom,
    process: options.ports?.process ?? systemProcess(),
  };
  const reader = new DirectoryReader(layout, ports, { blockingReads: false, create: true });
  const writer = new DirectoryWriter(layout, ports, { reader, create: true });
  const writes = new KeyedLock<Ref>();
  let closed = false;

  async function guarded<Result>(
    what: string,
    signal: AbortSignal | undefined,
    work: () => Promise<Result>,
  ): Promise<Result> {
    signal?.throwIfAborted();
    if (closed) throw new BlobError("closed", `the refs of ${layout.root} were closed`);
    try {
      return await work();
    } catch (error) {
      throw signal?.aborted ? signal.reason : fileError(error, layout.root, what);
    }
  }

  return {
    get: (ref, { signal } = {}) =>
      guarded("reading a ref", signal, async () => {
        const file = await ports.files.openForReading(layout.fileOf(ref)).catch((error) => {
          if (systemCode(error) === "ENOENT") return undefined;
          throw error;
        });
        if (file === undefined) return undefined;
        try {
          // One byte more than there should be.
          const bytes = new Uint8Array(refBytes + checkBytes + 1);
          const length = await file.read(bytes, 0);
          const inner = refFromBytes(bytes.subarray(0, refBytes));
          // A torn one is as good as none: the blob heals when it is put again.
          return Buffer.compare(bytes.subarray(0, length), entry(ref, inner)) === 0 ? inner : undefined;
        } finally {
          await file.close();
        }
      }),
    set: (ref, inner, { signal } = {}) =>
      guarded("writing a ref", signal, async () => {
        await writes.run(ref, signal, () => writer.write(ref, entry(ref, inner), signal));
      }),
    delete: (ref, { signal } = {}) =>
      guarded("deleting a ref", signal, () => writes.run(ref, signal, () => writer.remove(ref))),
    async *pages(after, { signal } = {}) {
      signal?.throwIfAborted();
      if (closed) throw new BlobError("closed", `the refs of ${layout.root} were closed`);
      try {
        yield* listFolders(ports.files, layout, { after, signal });
      } catch (error) {
        throw signal?.aborted ? signal.reason : fileError(error, layout.root, "listing the refs");
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await writes.idle();
    },
  };
}

function entry(ref: Ref, inner: Ref): Uint8Array {
  const to = refToBytes(inner);
  const check = createHash("sha256").update(refToBytes(ref)).update(to).digest();
  return Buffer.concat([to, check.subarray(0, checkBytes)]);
}
