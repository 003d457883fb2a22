import {
  type AppendRequest,
  type AppendStream,
  isJournalError,
  JournalClient,
  type JournalClientOptions,
  type ReadRequest,
  type ReadResponse,
  RetryReader,
  type RetryReaderOptions,
  type RoutedJournalClient,
} from "@x/journal-client";
import { type AppendRecorder, recordsOf } from "../src/faults/journal-recorder.js";
import {
  type GazetteCluster,
  type GazetteJournal,
  requireServer,
  runGazettePeer,
} from "../src/servers/index.js";

export * from "@x/journal-client";

/** Whether what all of these suites need is not here: said loudly, and a failure with CI set. */
export function isMissing(...more: readonly ("toxiproxy" | "versitygw")[]): boolean {
  const names = ["etcd", "gazette", "gazette-peer", ...more] as const;
  return names.map((name) => requireServer(name)).includes(false);
}

/** A router that knows nothing, so that every call goes to the client's own endpoint, which proxies. */
export const noRoutes: NonNullable<JournalClientOptions["routes"]> = {
  route: () => ({ members: [], primary: -1, endpoints: [] }),
  updateRoute: () => {},
  isNoopRouter: true,
};

export function connect(
  gazette: { readonly endpoint: string },
  options: Partial<JournalClientOptions> = {},
): JournalClient {
  return new JournalClient({ endpoints: gazette.endpoint, ...options });
}

/** What a reader gave until the write head (or the end offset), and which of it came straight from a store. */
export interface ReadToHead {
  readonly content: Buffer;
  readonly direct: number;
  readonly jumps: readonly (readonly [bigint, bigint])[];
  readonly retries: readonly unknown[];
}

export async function readToHead(
  client: RoutedJournalClient,
  request: string | ReadRequest,
  options: RetryReaderOptions = {},
): Promise<ReadToHead> {
  const chunks: Uint8Array[] = [];
  const jumps: [bigint, bigint][] = [];
  const retries: unknown[] = [];
  let direct = 0;
  const reader = new RetryReader(client, typeof request === "string" ? { journal: request } : request, {
    signal: AbortSignal.timeout(60_000),
    onOffsetJump: (from, to) => jumps.push([from, to]),
    onRetry: ({ error }) => retries.push(error),
    ...options,
  });
  try {
    for (;;) {
      const chunk = await reader.read();
      if (chunk === undefined) break;
      chunks.push(chunk);
      if (reader.reader.direct) direct += chunk.length;
    }
  } catch (error) {
    if (!isJournalError(error, "offset-not-yet-available")) throw error;
  } finally {
    await reader.close();
  }
  return { content: Buffer.concat(chunks), direct, jumps, retries };
}

/** A journal's bytes as the Go client has them, by a broker that runs. */
export async function readByGo(
  gazette: GazetteCluster,
  journal: string,
  ...flags: readonly string[]
): Promise<Buffer> {
  const { authKeys, tls, brokers } = gazette;
  const { endpoint } = brokers.find(({ running }) => running) ?? gazette;
  const signal = AbortSignal.timeout(60_000);
  const options = { gazette: { endpoint, authKeys, tls }, signal };
  return (await runGazettePeer(["read", "-journal", journal, ...flags], options)).stdout;
}

/**
 * All bytes of a journal, as the Go client reads them. It waits for each of them: a broker that took a journal over learns of what was
 * there before from the store, a moment later, and until then a reader that does not wait is told that it is at the end.
 */
export async function wholeByGo(
  gazette: GazetteCluster,
  client: JournalClient,
  journal: string,
): Promise<Buffer> {
  const { commit } = await client.append({ journal }, { signal: AbortSignal.timeout(60_000) });
  if (commit === undefined || commit.end === 0n) return Buffer.alloc(0);
  return await readByGo(gazette, journal, "-block", "-end", `${commit.end}`);
}

export async function readByGazctl(gazette: GazetteCluster, journal: string): Promise<Buffer> {
  return (await gazette.gazctl(["journals", "read", "-l", `name=${journal}`])).stdout;
}

/** For journals whose fragments are persisted and known at once: see the harness's facts on `refreshSeconds`. */
export const persisted: Pick<GazetteJournal, "fragmentBytes" | "refreshSeconds"> = {
  fragmentBytes: 1024,
  refreshSeconds: 1,
};

/** The client, with other ways to do some of what it does. */
function withOthers(client: RoutedJournalClient, others: Partial<RoutedJournalClient>): RoutedJournalClient {
  return {
    route: (item) => client.route(item),
    updateRoute: (item, route) => client.updateRoute(item, route),
    get isNoopRouter() {
      return client.isNoopRouter;
    },
    openRead: (request, options) => client.openRead(request, options),
    openAppend: (request, options) => client.openAppend(request, options),
    openList: (request, options) => client.openList(request, options),
    apply: (request, options) => client.apply(request, options),
    listFragments: (request, options) => client.listFragments(request, options),
    fragmentStoreHealth: (store, options) => client.fragmentStoreHealth(store, options),
    get fragments() {
      return client.fragments;
    },
    ...others,
  };
}

/** The client, with another stream in the place of each Append RPC's. */
export function withAppends(
  client: RoutedJournalClient,
  wrap: (stream: AppendStream, request: AppendRequest) => AppendStream,
): RoutedJournalClient {
  return withOthers(client, {
    openAppend: (request, options) => wrap(client.openAppend(request, options), request),
  });
}

/** The client, with each answer of a Read RPC as `change` gives it, and with something done before each fragment is fetched. */
export function withReads(
  client: RoutedJournalClient,
  change: (response: ReadResponse) => ReadResponse,
  beforeFetch: () => Promise<void> = async () => {},
): RoutedJournalClient {
  return withOthers(client, {
    openRead: (request, options) => {
      const responses = client.openRead(request, options)[Symbol.asyncIterator]();
      const changed: AsyncIterableIterator<ReadResponse, undefined> = {
        next: async () => {
          const next = await responses.next();
          return next.done === true ? { done: true, value: undefined } : { value: change(next.value) };
        },
        return: async () => {
          await responses.return?.();
          return { done: true, value: undefined };
        },
        [Symbol.asyncIterator]: () => changed,
      };
      return changed;
    },
    fragments: {
      get: async (url, options) => {
        await beforeFetch();
        return await client.fragments.get(url, options);
      },
    },
  });
}

/** The client, with each Append RPC told to a recorder: what was sent, and what was told of it. */
export function recorded(client: RoutedJournalClient, recorder: AppendRecorder): RoutedJournalClient {
  return withAppends(client, (stream, { journal }) => {
    const sent: Buffer[] = [];
    return {
      write: (content) => {
        sent.push(Buffer.from(content));
        return stream.write(content);
      },
      commit: async () => {
        const records = recordsOf(Buffer.concat(sent));
        try {
          const response = await stream.commit();
          const outcome = response.status === "OK" ? "committed" : "refused";
          recorder.rpcs.push({ journal, records, outcome });
          return response;
        } catch (error) {
          recorder.rpcs.push({ journal, records, outcome: "unknown" });
          throw error;
        }
      },
      abort: () => stream.abort(),
    };
  });
}
