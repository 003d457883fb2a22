import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReplica, directoryStore } from "@x/blob-replica";

const root = await mkdtemp(join(tmpdir(), "blobs-"));
const disk = (name: string) => ({ name, store: directoryStore(join(root, name)) });

// Two disks have a blob before `put` returns; a third gets it in the background, also after a crash.
const replica = await createReplica({
  sync: [disk("first"), disk("second")],
  async: [disk("third")],
  queue: { dir: join(root, "queue") },
});

const { ref, added } = await replica.put(Buffer.from("hello, blobs"));
console.log(ref, added);
console.log(Buffer.from(await replica.get(ref)).toString());

await replica.drained();
console.log(replica.state().async.map(({ name, backlog }) => `${name} is ${backlog} behind`));
await replica[Symbol.asyncDispose]();
