import { dirname } from "node:path";
import { openDir, type QueueFiles, removeIfThere } from "../replica/queue/files.js";

/** The whole file, or none of it, after a power cut. One process at a time. */
export async function replaceFile(files: QueueFiles, path: string, bytes: Uint8Array): Promise<void> {
  await openDir(files, dirname(path));
  const temporary = `${path}.new`;
  // Of a process that died.
  await removeIfThere(files, temporary);
  const file = await files.create(temporary);
  try {
    await file.append(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(temporary, path);
  await files.syncDir(dirname(path));
}
