import type { FileSystem } from "@x/coord";
import type { Random } from "@x/topic-gateway/protocol";
import { hasCode } from "./errors.js";

const ID_FILE = /^id-([0-9a-f]{32})$/;
const ID_BYTES = 16;

/**
 * The ids of a root, smallest first, one made and durable if there was none.
 *
 * An id is the name of an empty file: creating a name is atomic, while a file with an id inside could be found half-written
 * after a crash. Two processes that open a new root at the same time may make two ids. Both are then ids of this root for
 * ever, which is all that an id is for: to know a log's root again.
 */
export async function loadStoreIds(
  fileSystem: FileSystem,
  root: string,
  random: Pick<Random, "bytes">,
): Promise<string[]> {
  if ((await listStoreIds(fileSystem, root)).length === 0) {
    const id = Buffer.from(random.bytes(ID_BYTES)).toString("hex");
    try {
      const file = await fileSystem.open(`${root}/id-${id}`, "create");
      await file.close();
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
  }
  // Also for an id that was there: whoever made it may have died before this.
  await fileSystem.syncDirectory(root);
  return listStoreIds(fileSystem, root);
}

export async function listStoreIds(fileSystem: FileSystem, root: string): Promise<string[]> {
  const names = await fileSystem.list(root);
  return names.flatMap((name) => ID_FILE.exec(name)?.[1] ?? []).sort();
}
