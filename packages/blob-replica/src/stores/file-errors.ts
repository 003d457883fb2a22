import { BlobError, type BlobErrorCode } from "../errors.js";

const kinds: Readonly<Record<string, readonly [BlobErrorCode, string]>> = {
  ENOSPC: ["full", "the disk is full"],
  EDQUOT: ["full", "the quota is used up"],
  EFBIG: ["full", "the file system takes no file of this size"],
  EROFS: ["refused", "the file system is read-only"],
  EACCES: ["refused", "the folder's permissions do not allow it"],
  EPERM: ["refused", "the system does not allow it"],
  ENOTDIR: ["unavailable", "a file is where a folder should be"],
  EISDIR: ["corrupt", "a folder is where a file should be"],
  EMFILE: ["unavailable", "the process has too many files open"],
  ENFILE: ["unavailable", "the system has too many files open"],
  EIO: ["unavailable", "the disk reports an error"],
};

/** The system's code, as "ENOENT". */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** What went wrong with a folder, for callers. A BlobError stays as it is. */
export function fileError(error: unknown, dir: string, what: string): BlobError {
  if (error instanceof BlobError) return error;
  const system = systemCode(error);
  const [code, why] = kinds[system ?? ""] ?? ["unavailable", String(error)];
  return new BlobError(code, `${what} in ${dir} failed: ${why}`, { cause: error });
}
