import { nodeFiles } from "../stores/node-files.js";
import { Changes } from "./changes.js";
import type { Replica, ReplicaOptions } from "./options.js";
import { ReplicaQueue } from "./queue/queue.js";
import { StoreReplica } from "./replica.js";
import { settingsOf } from "./settings.js";

/**
 * One store made of several. `put` resolves when the blob is in every synchronous store (or in `writeQuorum` of them) and is queued for the asynchronous ones; `get`
 * gives whole blobs only, from the store that answers first, and has damaged and missing copies repaired from good ones. Takes what an earlier run left in the queue,
 * and goes on with it at once. The stores stay the caller's: closing the replica does not close them.
 * @throws BlobError "invalid-argument"; of the queue's folder "bad-data", "refused", "full", "unavailable", and "closed" when another process opens it just now; `signal.reason`
 */
export async function createReplica(options: ReplicaOptions): Promise<Replica> {
  const { signal } = options;
  signal?.throwIfAborted();
  const settings = settingsOf(options);
  const changes = new Changes();
  let queue: ReplicaQueue | undefined;
  if (settings.queue !== undefined) {
    queue = await ReplicaQueue.open({
      where: settings.queue === "memory" ? "memory" : { files: nodeFiles, ...settings.queue },
      names: settings.async.map(({ name }) => name),
      maxQueued: settings.maxQueued,
      whenFull: settings.whenFull,
      clock: settings.clock,
      random: settings.random,
      onChange: changes.bump,
      onDropped: (store, ref, error) =>
        settings.emit({ event: "dropped-to-resync", store, ref, ...(error !== undefined && { error }) }),
    });
  }
  if (signal?.aborted) {
    await queue?.close();
    throw signal.reason;
  }
  const replica = new StoreReplica(settings, changes, queue);
  replica.start();
  return replica;
}
