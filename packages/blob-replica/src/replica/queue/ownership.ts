import type { Random } from "../../clock.js";
import { BlobError } from "../../errors.js";
import { isMissing, isThere, openDir, type QueueFiles, readWhole, removeIfThere } from "./files.js";
import { compareOwners, fileName, type Owner, ownerName, queueNames } from "./names.js";

/** A folder changes under a reader only while somebody else opens the queue, or was just deposed. */
const mostReadings = 100;

/**
 * Whose the queue is. The protocol:
 *
 * - An owner is a number and an id by chance. Its claim is an empty file `queue-NUMBER-ID.owner`, and its records are in `queue-NUMBER-ID-FILE.log`: no two owners
 *   ever share a path, and no path is used twice.
 * - To become the owner: take a number greater than all in the folder, create the claim, list the folder again, give up if there is a greater claim, and remove all
 *   lesser ones, the least first. Only then read the newest file. So of any two owners at least one sees the other's claim, and reads after the other was deposed.
 * - An owner acknowledges a record when it was written, synced, and the claim was there after that. Then whoever removes the claim reads the record. An owner
 *   whose claim is gone is deposed: it acknowledges nothing ever again, and gives no further file its name.
 * - A file gets its name when it is whole and synced, and what was known before is in it; only when that name survives a power cut are older files removed.
 *
 * So the newest file in the folder, by owner and then by the owner's count, has all that was ever acknowledged, whenever everybody was killed; what a deposed
 * owner leaves behind is older. A claim is removed only by one who has a greater one: numbers do not come back while anybody who might write is alive. After a
 * power cut claims count for nothing. Files `queue-N.log` are of the first version, which had no claims: older than all others.
 */
export class Ownership {
  readonly #dir: string;
  readonly #files: QueueFiles;
  readonly #owner: Owner;
  readonly #deposed = new AbortController();

  private constructor(dir: string, files: QueueFiles, owner: Owner) {
    this.#dir = dir;
    this.#files = files;
    this.#owner = owner;
  }

  /** From here on nobody else acknowledges anything. @throws BlobError "closed" when another process does the same, and wins; as the files */
  static async take(dir: string, files: QueueFiles, random: Random): Promise<Ownership> {
    const before = queueNames(await openDir(files, dir));
    const number = 1 + before.reduce((most, { owner }) => Math.max(most, owner.number), 0);
    const ownership = new Ownership(dir, files, { number, id: Buffer.from(random.bytes(8)).toString("hex") });
    const claim = await files.create(ownership.#claim);
    await claim.close();
    const claims = queueNames(await files.list(dir)).filter(({ kind }) => kind === "owner");
    if (claims.some((each) => compareOwners(each.owner, ownership.#owner) > 0)) throw ownership.#depose();
    for (const each of claims) {
      if (each.name !== ownerName(ownership.#owner)) await removeIfThere(files, `${dir}/${each.name}`);
    }
    return ownership;
  }

  get #claim(): string {
    return `${this.#dir}/${ownerName(this.#owner)}`;
  }

  pathOf(file: number): string {
    return `${this.#dir}/${fileName(this.#owner, file)}`;
  }

  /** What there was before this owner: the newest whole file. @throws BlobError "closed", "unavailable"; as the files */
  async newest(): Promise<{ readonly path: string; readonly bytes: Uint8Array } | undefined> {
    let before = await this.#newestName();
    for (let reading = 0; reading < mostReadings; reading++) {
      const path = `${this.#dir}/${before}`;
      const bytes = before === undefined ? undefined : await readIfThere(this.#files, path);
      // A name that is changed while a folder is listed may be in no place of the list.
      const after = await this.#newestName();
      if (after === before && (bytes || before === undefined)) return bytes && { path, bytes };
      before = after;
    }
    throw new BlobError(
      "unavailable",
      `the queue's files in ${this.#dir} change again and again, or cannot be opened`,
    );
  }

  async #newestName(): Promise<string | undefined> {
    const last = queueNames(await this.#files.list(this.#dir)).findLast(({ kind }) => kind === "whole");
    if (last && compareOwners(last.owner, this.#owner) > 0) throw this.#depose();
    return last?.name;
  }

  /** What is older than the owner's `file`, which survives a power cut by now. */
  async removeOlder(file: number): Promise<void> {
    for (const each of queueNames(await this.#files.list(this.#dir))) {
      const order = compareOwners(each.owner, this.#owner);
      const isOld = order < 0 || (order === 0 && each.kind !== "owner" && each.file < file);
      if (isOld) await removeIfThere(this.#files, `${this.#dir}/${each.name}`);
    }
    await this.#files.syncDir(this.#dir);
  }

  /** Aborted, with the error that everybody is told, as soon as it is known that another process has taken over. */
  get deposed(): AbortSignal {
    return this.#deposed.signal;
  }

  /** @throws BlobError "closed" when another process has taken over, now and from then on; as the files */
  async check(): Promise<void> {
    if (this.deposed.aborted || !(await isThere(this.#files, this.#claim))) throw this.#depose();
  }

  /** The same for what may be done while nobody can say whose the queue is: only a claim that is known to be gone counts. @throws BlobError "closed" */
  async confirm(): Promise<void> {
    if (await this.#isKnownGone()) throw this.#depose();
  }

  /** The error itself, or that another process has taken over: then that is what is behind it. */
  async blame(error: unknown): Promise<unknown> {
    return (await this.#isKnownGone()) ? this.#depose(error) : error;
  }

  async #isKnownGone(): Promise<boolean> {
    return this.deposed.aborted || !(await isThere(this.#files, this.#claim).catch(() => true));
  }

  #depose(cause?: unknown): BlobError {
    const message = `another process has taken over the queue in ${this.#dir}`;
    const error = new BlobError("closed", message, cause === undefined ? {} : { cause });
    this.#deposed.abort(error);
    return error;
  }
}

async function readIfThere(files: QueueFiles, path: string): Promise<Uint8Array | undefined> {
  try {
    return await readWhole(files, path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
