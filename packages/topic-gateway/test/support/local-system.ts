/** Real buffers and a real embedded store in a temporary folder, joined without a network. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { type BufferNode, openBuffer } from "../../../topic-buffer/src/index.js";
import { openLocalArchive, openLocalSegmentLog } from "../../../topic-buffer/src/local.js";
import { type BufferHealth, TopicClient } from "../../src/client.js";
import { type BufferConnection, TopicError } from "../../src/protocol.js";

export interface LocalSystem extends AsyncDisposable {
  readonly client: TopicClient;
  readonly buffers: Map<string, BufferNode>;
  /** Of the buffers that can't be reached now. */
  readonly unreachable: Set<string>;
  addBuffer(): Promise<BufferNode>;
  /** Questions that came to a buffer: its address, and what was asked. */
  readonly asked: string[];
  openClient(options?: { readonly archive?: boolean; readonly health?: BufferHealth }): Promise<TopicClient>;
}

export async function localSystem(
  options: { readonly buffers?: number; readonly segmentMaxBytes?: number } = {},
): Promise<LocalSystem> {
  const directory = await mkdtemp(join(tmpdir(), "topics-"));
  const coord = await openEmbeddedCoord({ directory: join(directory, "coord") });
  const logs = await openLocalSegmentLog({ directory: join(directory, "segments") });
  const archive = await openLocalArchive({ directory: join(directory, "archive") });
  const buffers = new Map<string, BufferNode>();
  const unreachable = new Set<string>();
  const clients: TopicClient[] = [];
  const asked: string[] = [];

  const connect = (address: string): BufferConnection => {
    const buffer = (): BufferNode => {
      const found = buffers.get(address);
      if (!found || unreachable.has(address)) throw new TopicError("unavailable", `nobody is at ${address}`);
      return found;
    };
    return {
      async *publish(batches, callOptions) {
        yield* buffer().publish(batches, callOptions);
      },
      async *read(request, callOptions) {
        yield* buffer().read(request, callOptions);
      },
      async *getMany(topic, keys, callOptions) {
        asked.push(`${address} getMany`);
        yield* buffer().getMany(topic, keys, callOptions);
      },
      async describe(topic, callOptions) {
        asked.push(`${address} describe`);
        return await buffer().describe(topic, callOptions);
      },
      async [Symbol.asyncDispose]() {},
    };
  };
  const addBuffer = async (): Promise<BufferNode> => {
    const address = `127.0.0.1:${buffers.size + 1}`;
    const { segmentMaxBytes = 1024 * 1024 } = options;
    const buffer = await openBuffer({
      id: `b${buffers.size + 1}`,
      address,
      coord,
      logs,
      archive,
      segmentMaxBytes,
      readersGraceMs: 10,
    });
    buffers.set(address, buffer);
    return buffer;
  };
  const openClient: LocalSystem["openClient"] = async ({ archive: withArchive = true, health } = {}) => {
    const client = await TopicClient.open({
      coord,
      connect,
      ...(withArchive && { archive }),
      ...(health && { health }),
      appendRetry: { deadlineMs: 10_000 },
    });
    clients.push(client);
    return client;
  };
  for (let i = 0; i < (options.buffers ?? 1); i++) await addBuffer();
  return {
    client: await openClient(),
    buffers,
    unreachable,
    asked,
    addBuffer,
    openClient,
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client.close({ signal: AbortSignal.timeout(1_000) });
      for (const buffer of buffers.values()) await buffer.close();
      await logs[Symbol.asyncDispose]();
      await coord.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Waits until something holds. */
export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 25_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`it did not come about that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
