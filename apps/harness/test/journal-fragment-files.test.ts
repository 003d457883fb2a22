import { readdirSync } from "node:fs";
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  FRAGMENT_FILES,
  fragmentAppends,
  fragmentFileNames,
  fragmentOfFile,
  WRITTEN_CODECS,
} from "../../../packages/journal-client/test/fragment-files.js";
import { difference } from "../src/faults/journal-recorder.js";
import {
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
  startGazette,
} from "../src/servers/index.js";
import { connect, persisted, readToHead } from "./journal-support.js";

const missing = [requireServer("etcd"), requireServer("gazette")].includes(false);

/** With this set, the files are written anew. */
const writes = process.env.X_WRITE_FRAGMENT_FILES !== undefined;

describe.skipIf(missing)(
  "the fragments that the package's own tests read",
  { timeout: 120_000, concurrent: true },
  () => {
    let etcd: EtcdServer;
    let gazette: GazetteCluster;
    beforeAll(async () => {
      await buildGoServer(etcdBuild);
      await buildGazette();
      etcd = await startEtcd();
      gazette = await startGazette({ etcd });
    }, 2 * goBuildTimeoutMs);
    afterAll(async () => {
      await gazette?.stop();
      await etcd?.stop();
    });

    it.each(WRITTEN_CODECS)("are what a broker writes: %s", async (codec) => {
      const journal = `fragment-files/${codec.toLowerCase()}`;
      const appends = fragmentAppends();
      const content = Buffer.concat(appends);
      await gazette.createJournal({ name: journal, codec, ...persisted, fragmentBytes: content.length - 1 });
      await using client = connect(gazette);
      // The first append to a journal is a fragment of its own.
      await client.append({ journal }, { content: Buffer.of(0) });
      for (const part of appends) await client.append({ journal }, { content: part });
      await client.append({ journal }, { content: Buffer.from("closes it") });
      const folder = join(gazette.fileRoot, journal);
      const name = await vi.waitFor(() => {
        const names = readdirSync(folder).filter((each) => /^0{15}1-/.test(each));
        expect(names).toHaveLength(1);
        return names[0] ?? "";
      }, 30_000);
      expect(fragmentOfFile(name)).toMatchObject({
        begin: 1n,
        end: 1n + BigInt(content.length),
        compressionCodec: codec,
      });
      client.installFileTransport(gazette.fileRoot);
      await vi.waitFor(async () => {
        const read = await readToHead(client, { journal, doNotProxy: true, offset: 1n });
        expect(difference(read.content.subarray(0, content.length), content)).toBeUndefined();
        expect(read.direct).toBe(content.length);
      }, 10_000);
      if (writes) await copyFile(join(folder, name), fileURLToPath(new URL(name, FRAGMENT_FILES)));
      // Its name holds the SHA-1 of its content.
      expect(fragmentFileNames()).toContain(name);
      const kept = await readFile(new URL(name, FRAGMENT_FILES));
      expect(kept.equals(await readFile(join(folder, name)))).toBe(true);
    });
  },
);
