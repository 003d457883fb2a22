import type { IResponseHeader } from "etcd3";
import { CoordError } from "../errors.js";

/**
 * Notices that the database is not the one seen before. etcd 3.6 itself says nothing: a wiped member that is started
 * with its old flags comes back with the same cluster and member id (they are hashes of the peer URLs and the cluster
 * token) and counts revisions from 1 again, and a watch from a revision that it has not reached yet just waits. What
 * can't be noticed: a wiped database that reached a higher revision than any seen here before the first answer of it
 * is seen here.
 */
export class History {
  #clusterId: string | undefined;
  #newest = 0n;

  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  /**
   * The highest revision that any answer told. Remember it before a linearizable call, and give it to `observe`
   * after.
   */
  get newest(): bigint {
    return this.#newest;
  }

  /**
   * Looks at the header of an answer and gives its revision.
   * @param floor For linearizable calls only: `newest` as it was before the call was sent, which the answer can't be
   * older than. Not what `newest` is when the answer comes, because calls overtake each other; and not for keepalives
   * and watches, because those answer from the member's own state, which may lag behind another member's.
   * @throws CoordError "history-lost"
   */
  observe(header: IResponseHeader | null | undefined, floor?: bigint): bigint {
    if (header === null || header === undefined)
      throw new CoordError("unavailable", "etcd answered without a header");
    const revision = BigInt(header.revision);
    if (this.#clusterId !== undefined && header.cluster_id !== this.#clusterId) {
      throw new CoordError(
        "history-lost",
        `another etcd cluster answered: its id is ${header.cluster_id}, before it was ${this.#clusterId}`,
      );
    }
    if (floor !== undefined && revision < floor) {
      throw new CoordError(
        "history-lost",
        `etcd's revision went back from ${floor} to ${revision}: its database was wiped or restored from a backup`,
      );
    }
    this.#clusterId = header.cluster_id;
    this.saw(revision);
    return revision;
  }

  saw(revision: bigint): void {
    if (revision > this.#newest) this.#newest = revision;
  }
}
