/**
 * Which cluster's archive a folder has. Blobs that no name of the cluster leads to are deleted, so a folder of another cluster, or one whose cluster
 * has lost its records, must never be taken for ours.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";

const MARK = "cluster";

/** Makes the folder and marks it, or looks at its mark. @throws Error with a sentence for people */
export async function claimFolder(path: string, clusterId: string): Promise<void> {
  let marked: string | undefined;
  try {
    await mkdir(path, { recursive: true });
    marked = await readMark(path);
    if (marked === undefined && !(await hasBlobs(path))) {
      await writeMark(path, clusterId);
      marked = await readMark(path);
    }
  } catch (cause) {
    throw new Error(`can't keep archived segments in ${path}; --archive-dir takes another folder`, { cause });
  }
  if (marked === clusterId) return;
  const whose =
    marked === undefined
      ? "has blobs of somebody else"
      : `has the archive of the cluster ${marked}, and this is ${clusterId}`;
  throw new Error(
    `${path} ${whose}: what has no record here would be deleted from it; move it away, or --archive-dir takes another folder`,
  );
}

async function readMark(path: string): Promise<string | undefined> {
  try {
    return (await readFile(join(path, MARK), "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function hasBlobs(path: string): Promise<boolean> {
  try {
    return (await readdir(join(path, "blobs"))).length > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** Whole or not at all; those who do it at once write the same. */
async function writeMark(path: string, clusterId: string): Promise<void> {
  const temporary = join(path, `${MARK}-${randomBytes(8).toString("hex")}`);
  const file = await open(temporary, "wx");
  try {
    await file.writeFile(`${clusterId}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(path, MARK));
  // Before any blob: the name is durable, too.
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
