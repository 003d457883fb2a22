import { CoordError } from "../errors.js";
import type { FileSystem } from "../file-system.js";
import { ByteReader } from "./bytes.js";
import { decodeFile, fileHeaderBytes } from "./frames.js";
import { readRecord } from "./records.js";
import { decodeSnapshot, type Snapshot } from "./snapshot.js";
import type { HistoryLimits } from "./store.js";

// The files of a store's folder. N is the generation (one for each opening), M counts the log files of a generation:
//   generation-N        empty; whoever could create it owns the folder until there is a higher one
//   snapshot-N-M        everything up to the moment when log M began; it names its log
//   wal-N-M-NONCE       what happened since
//   *.tmp               a snapshot that is not finished
// The highest snapshot and its log are the store. Lower ones are leftovers.

export interface FileNumber {
  readonly generation: number;
  readonly sequence: number;
}

export const generationName = (generation: number): string => `generation-${padded(generation)}`;
export const snapshotName = (at: FileNumber): string =>
  `snapshot-${padded(at.generation)}-${padded(at.sequence)}`;
export const walName = (at: FileNumber, nonce: Uint8Array): string =>
  `wal-${padded(at.generation)}-${padded(at.sequence)}-${hex(nonce)}`;

const fileName = /^(generation|snapshot|wal)-(\d{10})(?:-(\d{10}))?(?:-[0-9a-f]{32})?(\.tmp)?$/;

export interface ParsedName extends FileNumber {
  readonly name: string;
  readonly kind: "generation" | "snapshot" | "wal" | "unfinished";
}

/** What the names of a folder say; names that are not the store's are left out. */
export function parseNames(names: readonly string[]): ParsedName[] {
  return names.flatMap((name) => {
    const match = fileName.exec(name);
    if (match === null) return [];
    const kind = match[4] === undefined ? (match[1] as "generation" | "snapshot" | "wal") : "unfinished";
    return [{ name, kind, generation: Number(match[2]), sequence: Number(match[3] ?? 0) }];
  });
}

export function compareNumbers(a: FileNumber, b: FileNumber): number {
  return a.generation - b.generation || a.sequence - b.sequence;
}

export function highestGeneration(files: readonly ParsedName[]): number {
  return files.reduce((highest, file) => Math.max(highest, file.generation), 0);
}

/** Makes the next generation, durably. From here on no earlier opener acknowledges anything. */
export async function claimGeneration(fileSystem: FileSystem, directory: string): Promise<number> {
  for (;;) {
    const generation = highestGeneration(parseNames(await fileSystem.list(directory))) + 1;
    try {
      const handle = await fileSystem.open(`${directory}/${generationName(generation)}`, "create");
      await handle.close();
    } catch (error) {
      if (hasCode(error, "EEXIST")) continue;
      throw error;
    }
    await fileSystem.syncDirectory(directory);
    return generation;
  }
}

/** The store as the folder has it; undefined if nothing was ever written to it. @throws CoordError "corrupt" */
export async function recover(
  fileSystem: FileSystem,
  directory: string,
  limits: HistoryLimits,
): Promise<Snapshot | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await recoverOnce(fileSystem, directory, limits);
    } catch (error) {
      // The opener before us may just have finished a new snapshot and removed the files that we were about to read.
      // It can't do so again, because it looks for a higher generation first.
      if (!hasCode(error, "ENOENT") || attempt === 3) throw error;
    }
  }
}

async function recoverOnce(
  fileSystem: FileSystem,
  directory: string,
  limits: HistoryLimits,
): Promise<Snapshot | undefined> {
  const files = parseNames(await fileSystem.list(directory));
  const newest = files
    .filter((file) => file.kind === "snapshot")
    .sort(compareNumbers)
    .at(-1);
  if (newest === undefined) {
    await refuseOrphans(fileSystem, directory, files);
    return undefined;
  }
  const snapshot = decodeSnapshot(
    await readFile(fileSystem, `${directory}/${newest.name}`),
    newest.name,
    limits,
  );
  if (!files.some((file) => file.name === snapshot.wal)) {
    if (!(await fileSystem.exists(`${directory}/${newest.name}`)))
      return await recoverOnce(fileSystem, directory, limits);
    throw new CoordError("corrupt", `${newest.name} goes on in ${snapshot.wal}, which is missing`);
  }
  const file = await readFile(fileSystem, `${directory}/${snapshot.wal}`);
  for (const payload of decodeFile(file, snapshot.wal)) replayFrame(snapshot, payload);
  return snapshot;
}

function replayFrame({ store, wal }: Snapshot, payload: Uint8Array): void {
  const reader = new ByteReader(payload);
  try {
    while (reader.left > 0) {
      const record = readRecord(reader);
      if (record.type === "compact") {
        store.compact(record.revision);
        continue;
      }
      if (record.revision !== store.revision + 1n) {
        throw new RangeError(`revision ${record.revision} follows revision ${store.revision}`);
      }
      store.replay(record.mutations);
      store.trim();
    }
  } catch (error) {
    throw new CoordError("corrupt", `${wal} holds a sound frame that can't be read`, { cause: error });
  }
}

/** A log is only written to after its snapshot is there: frames without any snapshot mean that somebody removed it. */
async function refuseOrphans(
  fileSystem: FileSystem,
  directory: string,
  files: readonly ParsedName[],
): Promise<void> {
  for (const file of files) {
    if (file.kind !== "wal") continue;
    const handle = await fileSystem.open(`${directory}/${file.name}`, "read");
    try {
      if ((await handle.size()) <= fileHeaderBytes) continue;
    } finally {
      await handle.close();
    }
    throw new CoordError("corrupt", `${file.name} has no snapshot to start from`);
  }
}

async function readFile(fileSystem: FileSystem, path: string): Promise<Uint8Array> {
  const handle = await fileSystem.open(path, "read");
  try {
    const content = new Uint8Array(await handle.size());
    return content.subarray(0, await handle.read(content, 0));
  } finally {
    await handle.close();
  }
}

function padded(value: number): string {
  return String(value).padStart(10, "0");
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
