import type { FragmentBody, FragmentTransport } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import { argument, refuse } from "../protocol/refusal.js";
import { type FragmentFiles, nodeFiles, type OpenFile } from "./node-files.js";
import { printableUrl } from "./printable-url.js";
import { releasing } from "./releasing.js";

export interface FileTransportOptions {
  readonly files?: FragmentFiles;
}

const CHUNK_BYTES = 1024 * 1024;

/**
 * Reads fragments of `file://` stores from a folder that this process has as well: the path of a URL is a path below `root`, as it is with
 * brokers (`--broker.file-root`) and Gazette's own client.
 *
 * URLs come from brokers, and who may list a journal's stores may write them: whatever leaves `root` is refused, whether by `..`, by
 * percent-encoding or by a link (links that stay below it are followed). What is opened is what was checked: by its real path, without
 * following a link in its last place, and it is looked at again once it is open. Somebody who may rename folders below `root` while that
 * happens could still mislead it; such a person needs no such trick.
 *
 * Throws JournalError "invalid-argument" at once; with a URL "url-refused", "fragment-not-found", "fragment-fetch".
 */
export function fileTransport(root: string, options: FileTransportOptions = {}): FragmentTransport {
  if (typeof root !== "string" || root === "") {
    refuse(argument("root"), root, "it must be the path of a folder, as a string");
  }
  const files = options.files ?? nodeFiles;
  return {
    async get(url, { signal }) {
      const segments = pathOf(url);
      signal?.throwIfAborted();
      let file: OpenFile | undefined;
      try {
        const realRoot = await files.realPath(root);
        const real = await files.realPath(files.join(realRoot, segments));
        if (!files.isBelow(real, realRoot)) {
          throw refused(url, "leaves the folder that is allowed");
        }
        file = await files.open(real);
      } catch (error) {
        throw failure(url, error);
      }
      if (file === undefined) {
        throw refused(url, "is not a regular file below the folder that is allowed");
      }
      const opened = file;
      let closing: Promise<void> | undefined;
      const close = (): Promise<void> => {
        signal?.removeEventListener("abort", close);
        closing ??= opened.close();
        return closing.catch(() => {});
      };
      signal?.addEventListener("abort", close, { once: true });
      if (signal?.aborted) {
        await close();
        throw signal.reason;
      }
      const body: FragmentBody = {
        ...releasing(chunks(opened, close, url, signal), close),
        readInto: (target) => readInto(opened, target, url, signal),
      };
      return { body, contentEncoding: "" };
    },
  };
}

/** One chunk ahead: the disk, or the copy out of the page cache, works while the last one is used. */
async function* chunks(
  file: OpenFile,
  close: () => Promise<void>,
  url: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  let ahead: Promise<Uint8Array> | undefined;
  try {
    while (true) {
      signal?.throwIfAborted();
      let chunk: Uint8Array;
      try {
        chunk = await (ahead ?? nextChunk(file));
      } catch (error) {
        signal?.throwIfAborted();
        throw failure(url, error);
      }
      if (chunk.length === 0) {
        return;
      }
      signal?.throwIfAborted();
      ahead = nextChunk(file);
      // It is awaited in its turn; until then nobody listens.
      ahead.catch(() => {});
      yield chunk;
    }
  } finally {
    await close();
  }
}

async function readInto(
  file: OpenFile,
  target: Uint8Array,
  url: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  signal?.throwIfAborted();
  try {
    const count = await file.read(target);
    signal?.throwIfAborted();
    return count;
  } catch (error) {
    signal?.throwIfAborted();
    throw failure(url, error);
  }
}

/** Empty at the end of the file. */
async function nextChunk(file: OpenFile): Promise<Uint8Array> {
  // Each chunk belongs to whoever gets it. Not filled with zeros first, and not from node's pool, which it would fill.
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const count = await file.read(buffer);
  return count === buffer.length ? buffer : buffer.subarray(0, count);
}

/** The names of the folders and of the file. */
function pathOf(url: string): string[] {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw refused(url, "is not a URL");
  }
  if (parsed.protocol !== "file:" || (parsed.host !== "" && parsed.host !== "localhost")) {
    throw refused(url, "is not a file of this host");
  }
  // The text itself: parsing takes `..` away, and a URL that has one was not made by a broker.
  const path = /^file:(?:\/\/[^/?#]*)?([^?#]*)/i.exec(url)?.[1] ?? "";
  const segments: string[] = [];
  for (const encoded of path.split("/")) {
    let segment: string;
    try {
      segment = decodeURIComponent(encoded);
    } catch {
      throw refused(url, "is not well encoded");
    }
    if (segment === "..") {
      throw refused(url, "leaves the folder that is allowed");
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not be in a path.
    if (/[\u0000-\u001f/\\]/.test(segment)) {
      throw refused(url, "has a character in a name that no fragment has");
    }
    if (segment !== "" && segment !== ".") {
      segments.push(segment);
    }
  }
  if (segments.length === 0) {
    throw refused(url, "names no file");
  }
  return segments;
}

function refused(url: string, why: string): JournalError {
  return new JournalError("url-refused", `${printableUrl(url)} ${why}`);
}

function failure(url: string, error: unknown): unknown {
  if (error instanceof JournalError) {
    return error;
  }
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ELOOP") {
    return refused(url, "is a link that leads nowhere");
  }
  return code === "ENOENT" || code === "ENOTDIR"
    ? new JournalError("fragment-not-found", `there is no file for ${printableUrl(url)}`, { cause: error })
    : new JournalError("fragment-fetch", `the file for ${printableUrl(url)} cannot be read`, {
        cause: error,
      });
}
