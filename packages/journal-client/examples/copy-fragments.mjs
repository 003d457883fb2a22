// Copies the fragments of a journal that are in its store to a folder, decompressed, and shows how far it is.
//
//     node copy-fragments.mjs http://127.0.0.1:8080 examples/log ./copy
//     node copy-fragments.mjs http://127.0.0.1:8080 examples/log ./copy /var/gazette    for file:// stores below this folder
import { createWriteStream } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fragmentName, JournalClient } from "@x/journal-client";

const [endpoint, journal, folder, fileRoot] = process.argv.slice(2);
if (endpoint === undefined || journal === undefined || folder === undefined) {
  console.error("usage: node copy-fragments.mjs ENDPOINT JOURNAL FOLDER [ROOT]");
  process.exit(2);
}

const client = new JournalClient({ endpoints: endpoint });
if (fileRoot !== undefined) client.installFileTransport(fileRoot);
try {
  await mkdir(folder, { recursive: true });
  const listing = await client.listAllFragments({ journal, signatureTtlMs: 3_600_000 });
  const fragments = listing.fragments.filter(({ signedUrl }) => signedUrl !== "");
  const total = fragments.reduce((sum, { spec }) => sum + (spec.end - spec.begin), 0n);
  let copied = 0n;
  for (const { spec, signedUrl } of fragments) {
    const reader = await client.openFragmentUrl({ fragment: spec, url: signedUrl });
    const name = fragmentName({ ...spec, compressionCodec: "NONE" });
    // A name that is there is a fragment that is whole.
    await pipeline(reader, createWriteStream(join(folder, `${name}.part`)));
    await rename(join(folder, `${name}.part`), join(folder, name));
    copied += spec.end - spec.begin;
    console.log(`${(copied * 100n) / (total || 1n)} %  ${name}`);
  }
  console.log(`${fragments.length} fragments, ${copied} bytes`);
} finally {
  await client.close();
}
