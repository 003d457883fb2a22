import { type AppendOptions, append } from "../append/append.js";
import { AppendService, type AppendServiceOptions } from "../append/append-service.js";
import { Appender, type AppenderOptions } from "../append/appender.js";
import type { Clock, Random } from "../clock.js";
import { type ApplyInBatchesOptions, applyJournals, applyJournalsInBatches } from "../list/apply-journals.js";
import { fragmentStoreHealth } from "../list/fragment-store-health.js";
import { listAllFragments } from "../list/list-fragments.js";
import { getJournal, listAllJournals } from "../list/list-journals.js";
import { WatchedList, type WatchedListOptions } from "../list/watched-list.js";
import type { JournalSpec } from "../protocol/journal-spec.js";
import type {
  AppendRequest,
  ApplyRequest,
  FragmentsRequest,
  ListRequest,
  ReadRequest,
} from "../protocol/requests.js";
import type {
  AppendResponse,
  ApplyResponse,
  FragmentStoreHealthResponse,
  FragmentsResponse,
  ListResponse,
} from "../protocol/responses.js";
import { type FileTransportOptions, fileTransport } from "../read/file-transport.js";
import { type FragmentReader, type OpenFragmentOptions, openFragmentUrl } from "../read/fragment-reader.js";
import { fragmentTransports } from "../read/fragment-transports.js";
import { Reader, type ReaderOptions } from "../read/reader.js";
import { RetryReader } from "../read/retry-reader.js";
import type { RetryReaderOptions } from "../read/retry-reader-options.js";
import { systemClock, systemRandom } from "../system.js";
import { GrpcClient, type GrpcClientOptions } from "./grpc-client.js";
import type { CallOptions, FragmentTransport, RoutedJournalClient } from "./routed-journal-client.js";

export interface JournalClientOptions extends GrpcClientOptions {
  /** For the pauses between tries. */
  readonly random?: Random;
}

/**
 * A client of a cluster of Gazette brokers. Connects when it is first used, and to those brokers that have the journals it is used for.
 * The methods that are not RPCs only pass the client on to the functions and classes of the same names, which take any RoutedJournalClient.
 */
export class JournalClient extends GrpcClient implements RoutedJournalClient {
  readonly #fragments: ReturnType<typeof fragmentTransports>;
  readonly #time: { readonly clock: Clock; readonly random: Random };

  /** @throws JournalError "invalid-argument" */
  constructor(options: JournalClientOptions) {
    super(options);
    const { clock = systemClock, random = systemRandom } = options;
    this.#time = { clock, random };
    this.#fragments = fragmentTransports({ clock });
  }

  /** http and https, and the file roots that were installed. */
  get fragments(): FragmentTransport {
    return this.#fragments;
  }

  /**
   * Lets URLs `file:///...` of fragments be read under this folder: for brokers whose stores are files that this process sees, too. Of several
   * the last one counts. The returned function takes it back.
   */
  installFileTransport(root: string, options?: FileTransportOptions): () => void {
    return this.#fragments.install("file", fileTransport(root, options));
  }

  openFragmentUrl(options: OpenFragmentOptions): Promise<FragmentReader> {
    return openFragmentUrl(this.#fragments, options);
  }

  reader(request: ReadRequest, options?: ReaderOptions): Reader {
    return new Reader(this, request, options);
  }

  retryReader(request: ReadRequest, options?: RetryReaderOptions): RetryReader {
    return new RetryReader(this, request, { ...this.#time, ...options });
  }

  appender(request: AppendRequest, options?: AppenderOptions): Appender {
    return new Appender(this, request, options);
  }

  append(request: AppendRequest, options?: AppendOptions): Promise<AppendResponse> {
    return append(this, request, { ...this.#time, ...options });
  }

  appendService(options?: AppendServiceOptions): AppendService {
    return new AppendService(this, { ...this.#time, ...options });
  }

  listAllJournals(request?: ListRequest, options?: CallOptions): Promise<ListResponse> {
    return listAllJournals(this, request, options);
  }

  getJournal(journal: string, options?: CallOptions): Promise<JournalSpec> {
    return getJournal(this, journal, options);
  }

  applyJournals(request: ApplyRequest, options?: CallOptions): Promise<ApplyResponse> {
    return applyJournals(this, request, options);
  }

  applyJournalsInBatches(request: ApplyRequest, options?: ApplyInBatchesOptions): Promise<ApplyResponse> {
    return applyJournalsInBatches(this, request, options);
  }

  listAllFragments(request: FragmentsRequest, options?: CallOptions): Promise<FragmentsResponse> {
    return listAllFragments(this, request, options);
  }

  /** As the function `fragmentStoreHealth`: throws for statuses other than OK and FRAGMENT_STORE_UNHEALTHY. */
  checkFragmentStore(fragmentStore: string, options?: CallOptions): Promise<FragmentStoreHealthResponse> {
    return fragmentStoreHealth(this, fragmentStore, options);
  }

  /** Begins to watch at once. */
  watchList(request?: ListRequest, options?: WatchedListOptions): WatchedList {
    return new WatchedList(this, request, { ...this.#time, ...options });
  }

  override async close(): Promise<void> {
    await super.close();
    this.#fragments.close();
  }
}
