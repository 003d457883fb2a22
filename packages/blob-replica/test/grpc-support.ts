import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Server,
  ServerCredentials,
  type ServerOptions,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { addBlobService, type BlobServiceOptions, type GrpcStoreByEndpoint, grpcStore } from "../src/grpc.js";
import { type BlobStore, directoryStore, memoryStore } from "../src/index.js";
import type { BlobStoreUnderTest } from "../src/testing.js";
import { fileOf, flipBit } from "./support/stores.js";
import { suiteOptions } from "./support/watched-files.js";

export interface Listening extends AsyncDisposable {
  readonly endpoint: string;
}

/** A real server of this machine, on a free port by default. */
export async function listen(
  fill: (server: Server) => void,
  options: ServerOptions = {},
  wantedPort = 0,
): Promise<Listening> {
  const server = new Server(options);
  fill(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${wantedPort}`, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    endpoint: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}

export function serve(
  store: BlobStore,
  options: BlobServiceOptions = {},
  server: ServerOptions = {},
): Promise<Listening> {
  return listen((to) => addBlobService(to, store, options), server);
}

/** As servers of bobg/bs are: without the service of ours. */
export function onlyBs(server: Server): Pick<Server, "addService"> {
  return {
    addService(definition, implementation: UntypedServiceImplementation) {
      const [first] = Object.values(definition);
      if (first?.path.startsWith("/rpc.Store/")) server.addService(definition, implementation);
    },
  };
}

/** A client and a server over a store in memory. */
export function memoryBehindGrpc(
  options: Partial<GrpcStoreByEndpoint> = {},
  open: (store: BlobStore) => Promise<Listening> = serve,
): BlobStoreUnderTest {
  return {
    async open() {
      const server = await open(memoryStore());
      const stores = [grpcStore({ endpoint: server.endpoint, ...options })];
      return {
        store: stores[0] as BlobStore,
        async reopen() {
          const store = grpcStore({ endpoint: server.endpoint, ...options });
          stores.push(store);
          return store;
        },
        async close() {
          for (const store of stores) await store[Symbol.asyncDispose]();
          await server[Symbol.asyncDispose]();
        },
      };
    },
  };
}

/** The same over a folder, whose files can be damaged. */
export function directoryBehindGrpc(): BlobStoreUnderTest {
  return {
    async open() {
      const dir = await mkdtemp(join(tmpdir(), "blob-grpc-"));
      const kept = directoryStore(dir, suiteOptions());
      const server = await serve(kept);
      const store = grpcStore({ endpoint: server.endpoint });
      return {
        store,
        damage: (ref) => flipBit(fileOf(dir, ref)),
        async close() {
          await store[Symbol.asyncDispose]();
          await server[Symbol.asyncDispose]();
          await kept[Symbol.asyncDispose]?.();
          await rm(dir, { recursive: true, force: true });
        },
      };
    },
  };
}
