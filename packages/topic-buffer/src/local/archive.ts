import { type FileHandle, type FileSystem, nodeFileSystem, systemRandomBytes } from "@x/coord";
import {
  type FrameChunk,
  type Random,
  type ReadLogOptions,
  type SegmentArchive,
  TopicError,
} from "@x/topic-gateway/protocol";
import { ArchiveFileWriter, checkFrames, type FrameWalk, readFooter } from "./archive-file.js";
import { asTopicError, hasCode } from "./errors.js";
import { type ArchivePaths, archivePaths } from "./paths.js";
import { checkReadOptions } from "./read-options.js";

export interface LocalArchiveOptions {
  /** Made if missing. Everything in it belongs to the archive; other processes may have it open too. */
  readonly directory: string;
  /** The machine's by default. */
  readonly fileSystem?: FileSystem;
  /** For the names of unfinished files. The system's by default. */
  readonly random?: Pick<Random, "bytes">;
}

const FIRST_READ_BYTES = 64 * 1024;
const MAX_READ_BYTES = 1024 * 1024;

/**
 * Opens a folder of archived segments, one file for each, written whole under another name and then renamed.
 * What a put leaves unfinished when it dies is removed by the next put or drop of the segment.
 *
 * @throws TopicError "unavailable" if the folder cannot be made
 */
export async function openLocalArchive(options: LocalArchiveOptions): Promise<SegmentArchive> {
  const { directory, fileSystem = nodeFileSystem, random = { bytes: systemRandomBytes } } = options;
  try {
    await fileSystem.makeDirectory(directory);
  } catch (error) {
    throw asTopicError(error, { code: "unavailable", doing: `opening the archive in ${directory}` });
  }
  return new LocalArchive(directory, fileSystem, random);
}

class LocalArchive implements SegmentArchive {
  readonly #root: string;
  readonly #fileSystem: FileSystem;
  readonly #random: Pick<Random, "bytes">;

  constructor(root: string, fileSystem: FileSystem, random: Pick<Random, "bytes">) {
    this.#root = root;
    this.#fileSystem = fileSystem;
    this.#random = random;
  }

  async put(
    name: string,
    chunks: AsyncIterable<FrameChunk>,
    options: { readonly lastSequence: number; readonly signal?: AbortSignal },
  ): Promise<void> {
    const paths = archivePaths(this.#root, name);
    const { lastSequence, signal } = checkReadOptions(options);
    signal?.throwIfAborted();
    try {
      if (!(await this.#isThere(name, paths, lastSequence))) await this.#write(name, paths, chunks, options);
      // Also of what was there: whoever made it may have died before it was durable.
      for (const made of [paths.directory, ...paths.parents]) await this.#fileSystem.syncDirectory(made);
      await this.#removeUnfinished(paths);
    } catch (error) {
      throw asTopicError(error, { code: "unavailable", doing: `archiving ${name}`, signal });
    }
  }

  async #write(
    name: string,
    paths: ArchivePaths,
    chunks: AsyncIterable<FrameChunk>,
    options: { readonly lastSequence: number; readonly signal?: AbortSignal },
  ): Promise<void> {
    const { lastSequence, signal } = options;
    await this.#fileSystem.makeDirectory(paths.directory);
    await this.#fileSystem.makeDirectory(paths.temporaryDirectory);
    const unique = Buffer.from(this.#random.bytes(8)).toString("hex");
    const temporary = `${paths.temporaryDirectory}/${paths.temporaryPrefix}${unique}`;
    const file = await this.#fileSystem.open(temporary, "create");
    try {
      try {
        const writer = new ArchiveFileWriter(file, name);
        for await (const chunk of chunks) {
          signal?.throwIfAborted();
          await writer.add(chunk, lastSequence);
        }
        signal?.throwIfAborted();
        await writer.finish(lastSequence);
      } finally {
        await file.close();
      }
      await this.#fileSystem.rename(temporary, paths.file);
    } catch (error) {
      // Somebody else archived the segment meanwhile and tidied up.
      if (hasCode(error, "ENOENT") && (await this.#isThere(name, paths, lastSequence))) return;
      await this.#fileSystem.remove(temporary).catch(() => {});
      throw error;
    }
  }

  async #isThere(name: string, paths: ArchivePaths, lastSequence: number): Promise<boolean> {
    let file: FileHandle;
    try {
      file = await this.#fileSystem.open(paths.file, "read");
    } catch (error) {
      if (hasCode(error, "ENOENT")) return false;
      throw error;
    }
    try {
      const footer = await readFooter(file);
      // A damaged one is written again.
      if (!footer || footer.lastSequence === lastSequence) return footer !== undefined;
    } finally {
      await file.close();
    }
    throw new TopicError(
      "log-exists",
      `${name} is archived already with another last sequence than ${lastSequence}`,
    );
  }

  async *read(name: string, options: ReadLogOptions): AsyncIterable<FrameChunk> {
    const paths = archivePaths(this.#root, name);
    const { fromSequence, lastSequence, signal } = checkReadOptions(options);
    let file: FileHandle | undefined;
    try {
      signal?.throwIfAborted();
      file = await this.#fileSystem.open(paths.file, "read");
      yield* readFile(file, { name, fromSequence, lastSequence, signal });
    } catch (error) {
      if (hasCode(error, "ENOENT"))
        throw new TopicError("log-missing", `${name} is not in the archive`, { cause: error });
      throw asTopicError(error, { code: "unavailable", doing: `reading ${name} from the archive`, signal });
    } finally {
      await file?.close();
    }
  }

  async drop(name: string): Promise<void> {
    const paths = archivePaths(this.#root, name);
    try {
      if (await this.#fileSystem.exists(paths.file)) {
        await this.#fileSystem.remove(paths.file);
        await this.#fileSystem.syncDirectory(paths.directory);
      }
      await this.#removeUnfinished(paths);
    } catch (error) {
      throw asTopicError(error, { code: "unavailable", doing: `dropping ${name} from the archive` });
    }
  }

  async #removeUnfinished(paths: ArchivePaths): Promise<void> {
    const { temporaryDirectory, temporaryPrefix } = paths;
    for (const name of await this.#fileSystem.list(temporaryDirectory)) {
      if (name.startsWith(temporaryPrefix)) await this.#fileSystem.remove(`${temporaryDirectory}/${name}`);
    }
  }
}

async function* readFile(
  file: FileHandle,
  options: {
    readonly name: string;
    readonly fromSequence: number;
    readonly lastSequence: number;
    readonly signal: AbortSignal | undefined;
  },
): AsyncGenerator<FrameChunk> {
  const { name, fromSequence, lastSequence, signal } = options;
  const footer = await readFooter(file);
  if (!footer || footer.lastSequence < lastSequence) {
    const has = footer ? `ends with sequence ${footer.lastSequence}` : "has no valid end";
    throw new TopicError("corrupt", `the archived segment ${name} ${has}; ${lastSequence} was recorded`);
  }
  const point = footer.points.findLast((candidate) => candidate.sequence < fromSequence);
  const walk: FrameWalk = { sequence: point?.sequence ?? 0, nonce: undefined };
  let offset = point?.offset ?? 0;
  let wanted = FIRST_READ_BYTES;
  while (walk.sequence < lastSequence) {
    signal?.throwIfAborted();
    const space = Buffer.allocUnsafeSlow(Math.min(wanted, footer.bytes - offset));
    const bytes = space.subarray(0, await file.read(space, offset));
    const before = walk.sequence;
    const checked = checkFrames(bytes, walk, lastSequence, fromSequence);
    const firstSequence = Math.max(fromSequence, before + 1);
    const count = walk.sequence - firstSequence + 1;
    if (count > 0) yield { frames: bytes.subarray(checked.wanted, checked.end), firstSequence, count };
    offset += checked.end;
    if (checked.stopped === "invalid" || (checked.end === 0 && bytes.length < wanted)) {
      if (walk.sequence >= lastSequence) return;
      throw new TopicError(
        "corrupt",
        `the archived segment ${name} is damaged at byte ${offset}, where sequence ${walk.sequence + 1} should be`,
      );
    }
    wanted = checked.end === 0 ? bytes.readUInt32LE(0) : Math.min(2 * wanted, MAX_READ_BYTES);
  }
}
