import { createReplica, directoryStore } from "@x/blob-replica";
import type { Coord } from "@x/coord";
import { TopicClient } from "@x/topic-gateway";
import { coordNames, openBlobArchive } from "@x/topic-gateway/blob";

export async function archiveExample(
  coord: Coord,
  folder: string,
  print: (line: string) => void,
): Promise<void> {
  // example:begin
  const disk = (path: string) => ({ name: path, store: directoryStore(path) });
  const store = await createReplica({ sync: [disk(`${folder}/1`), disk(`${folder}/2`)] });
  const archive = openBlobArchive({ store, names: coordNames({ coord }) });

  // Buffers are given the same: they archive to it. Clients read from it.
  const client = await TopicClient.open({ coord, archive });
  for await (const message of client.tail("orders", { from: "earliest" })) {
    print(`${message.key}: ${Buffer.from(message.data)}`);
    if (Buffer.from(message.data).equals(Buffer.from("order 199"))) break;
  }

  // Now and then: blobs of segments that were dropped, and of puts that failed.
  const { kept, deleted } = await archive.collect();
  print(`${kept > 0 ? "blobs are kept" : "nothing is archived"}, ${deleted} are deleted`);
  // example:end
  await client.close();
  await store[Symbol.asyncDispose]();
}
