import { dirname, join } from "node:path";
import { type Ref, refBytes } from "../ref.js";
import { systemCode } from "./file-errors.js";
import type { StoreFiles } from "./files.js";

/** Where things are: as in the file store of bobg/bs v0.4.0, which lists only what is below `blobs` and is named like a ref. */
export class DirectoryLayout {
  readonly root: string;
  readonly blobs: string;
  /** For files that are being written. In the same file system, and out of the way of listings. */
  readonly temporary: string;

  /** `folder`: what the tree of files is called. */
  constructor(root: string, folder = "blobs") {
    this.root = root;
    this.blobs = join(root, folder);
    this.temporary = join(root, "tmp");
  }

  fileOf(ref: Ref): string {
    return `${this.blobs}/${ref.slice(0, 2)}/${ref.slice(0, 4)}/${ref}`;
  }

  /** The folder of the blob. */
  folderOf(ref: Ref): string {
    return dirname(this.fileOf(ref));
  }
}

const refsPerPage = 1024;
const foldersAtOnce = 16;

/** The refs strictly after `after`, packed, read from the folders as they are asked for. What is no blob's file is left out. */
export async function* listFolders(
  files: StoreFiles,
  layout: DirectoryLayout,
  options: { readonly after: Ref | undefined; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { after = "", signal } = options;
  const named = async (path: string, prefix: string, length: number) => {
    const from = after.slice(0, length);
    const shape = new RegExp(`^[0-9a-f]{${length}}$`);
    const names = await listOrNothing(files, path);
    return names.filter((name) => name.startsWith(prefix) && name >= from && shape.test(name)).sort();
  };

  let page: string[] = [];
  signal?.throwIfAborted();
  for (const top of await named(layout.blobs, "", 2)) {
    signal?.throwIfAborted();
    const folders = await named(`${layout.blobs}/${top}`, top, 4);
    for (let at = 0; at < folders.length; at += foldersAtOnce) {
      signal?.throwIfAborted();
      const listings = await Promise.allSettled(
        folders
          .slice(at, at + foldersAtOnce)
          .map((folder) => named(`${layout.blobs}/${top}/${folder}`, folder, refBytes * 2)),
      );
      signal?.throwIfAborted();
      for (const listing of listings) {
        if (listing.status === "rejected") throw listing.reason;
        for (const name of listing.value) if (name !== after) page.push(name);
      }
      if (page.length >= refsPerPage) {
        yield packed(page);
        page = [];
      }
    }
  }
  if (page.length > 0) yield packed(page);
}

function packed(names: readonly string[]): Uint8Array {
  const page = Buffer.allocUnsafeSlow(names.length * refBytes);
  page.write(names.join(""), "hex");
  return page;
}

async function listOrNothing(files: StoreFiles, path: string): Promise<string[]> {
  try {
    return await files.list(path);
  } catch (error) {
    // Removed by somebody, or no folder at all.
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return [];
    throw error;
  }
}
