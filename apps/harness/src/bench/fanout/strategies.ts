import { credentials, status } from "@grpc/grpc-js";
import { createFanout, FanoutError, type View } from "@x/fanout";
import { LookupClient, lookup, SERVICE } from "./grpc-lookup.js";

/** A server process, as a view with its connection. */
export interface LookupServer extends View<bigint> {
  readonly name: string;
  readonly port: number;
  readonly client: LookupClient;
}

/** A way to get one point from one of its replicas, whatever state they are in. */
export interface Strategy {
  readonly name: string;
  get(point: bigint, replicas: readonly LookupServer[]): Promise<void>;
  /** How many requests were sent beyond one for each call, so far. */
  extra(): Promise<number>;
  /** How many of them it could pay for now. */
  tokens?(): number;
  close(): void;
}

/** No call lasts longer than this, whoever makes it. */
export const DEADLINE_MS = 2_000;
export const BUDGET_RATIO = 0.02;
const ATTEMPT_MS = 100;
const SEED_HEDGE_MS = 500;

export function ours(servers: readonly LookupServer[], options: { readonly ratio?: number } = {}): Strategy {
  let extra = 0;
  const fanout = createFanout<LookupServer>({
    serverOf: ({ name }) => name,
    budget: options,
    onEvent: ({ type }) => {
      if (type === "hedge" || type === "retry") extra += 1;
    },
  });
  return {
    name: "ours",
    async get(point) {
      const call = fanout.call(
        [point],
        servers,
        ({ client }, _offsets, { signal, timeoutMs }) => lookup(client, "get", { signal, timeoutMs }),
        { timeoutMs: DEADLINE_MS },
      );
      for await (const _ of call);
    },
    extra: async () => extra,
    tokens: () => fanout.stats().tokens,
    close: () => {},
  };
}

/** One request to a replica chosen at random. */
export function unhedged(): Strategy {
  return {
    name: "unhedged",
    async get(_point, replicas) {
      await lookup(pick(replicas).client, "get", { timeoutMs: DEADLINE_MS });
    },
    extra: async () => 0,
    close: () => {},
  };
}

/** Another replica after an error or after the time for an attempt, until all were tried. */
export function plainRetry(): Strategy {
  let extra = 0;
  return {
    name: `retry after ${ATTEMPT_MS} ms`,
    async get(_point, replicas) {
      const first = Math.floor(Math.random() * replicas.length);
      for (let attempt = 0; ; attempt++) {
        const { client } = replicas[(first + attempt) % replicas.length]!;
        try {
          await lookup(client, "get", { timeoutMs: ATTEMPT_MS });
          return;
        } catch (error) {
          if (attempt === replicas.length - 1) throw error;
          extra += 1;
        }
      }
    },
    extra: async () => extra,
    close: () => {},
  };
}

/** What the predecessor of `@x/fanout` does: another replica after half a second. */
export function fixedHedge(): Strategy {
  let extra = 0;
  return {
    name: `hedge after ${SEED_HEDGE_MS} ms`,
    async get(_point, replicas) {
      const over = new AbortController();
      const { signal } = over;
      const options = { signal, timeoutMs: DEADLINE_MS };
      const first = Math.floor(Math.random() * replicas.length);
      const send = (offset: number): Promise<Buffer> =>
        lookup(replicas[(first + offset) % replicas.length]!.client, "get", options);
      let timer: NodeJS.Timeout | undefined;
      const hedge = new Promise<Buffer>((resolve, reject) => {
        timer = setTimeout(() => {
          extra += 1;
          send(1).then(resolve, reject);
        }, SEED_HEDGE_MS);
      });
      try {
        await Promise.race([send(0), hedge]);
      } finally {
        clearTimeout(timer);
        over.abort();
      }
    },
    extra: async () => extra,
    close: () => {},
  };
}

/** The `hedgingPolicy` of grpc-js, over the replicas of each range in turn, with the delay that it is given. */
export function grpcHedging(servers: readonly LookupServer[], delayMs: number): Strategy {
  const clients = new Map<unknown, LookupClient>();
  const serviceConfig = JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: [
      {
        name: [{ service: SERVICE }],
        hedgingPolicy: {
          maxAttempts: 2,
          hedgingDelay: `${(delayMs / 1000).toFixed(4)}s`,
          nonFatalStatusCodes: ["UNAVAILABLE"],
        },
      },
    ],
  });
  const clientOf = (replicas: readonly LookupServer[]): LookupClient => {
    const key = replicas[0]!;
    let client = clients.get(key);
    if (client === undefined) {
      const target = `ipv4:${replicas.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
      client = new LookupClient(target, credentials.createInsecure(), {
        "grpc.service_config": serviceConfig,
        "grpc.service_config_disable_resolution": 1,
        "grpc.use_local_subchannel_pool": 1,
      });
      clients.set(key, client);
    }
    return client;
  };
  return {
    name: "grpc-js hedgingPolicy",
    async get(_point, replicas) {
      await lookup(clientOf(replicas), "get", { timeoutMs: DEADLINE_MS });
    },
    // Only the servers see these requests.
    async extra() {
      const counts = await Promise.all(
        servers.map(({ client }) => lookup(client, "repeats", { timeoutMs: 5_000 })),
      );
      return counts.reduce((sum, bytes) => sum + bytes.readUInt32LE(0), 0);
    },
    close: () => {
      for (const client of clients.values()) client.close();
    },
  };
}

/** Whether a call failed for its servers, and not for a mistake of the benchmark. */
export function isFailure(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return error instanceof FanoutError || code === status.DEADLINE_EXCEEDED;
}

function pick<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)]!;
}
