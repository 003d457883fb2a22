import type { Route } from "../protocol/header.js";
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
  ReadResponse,
} from "../protocol/responses.js";

/** Where each journal is, as far as it is known. `item` is a journal's name. */
export interface DispatchRouter {
  /** An empty route with primary -1 when nothing is known. */
  route(item: string): Route;
  /** An undefined or empty route takes away what was known. */
  updateRoute(item: string, route: Route | undefined): void;
  /** Whether `route` never knows anything. */
  readonly isNoopRouter: boolean;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** One Append RPC. `commit` or `abort` ends it; `abort` may follow anything, and then does nothing. One call at a time. */
export interface AppendStream {
  /**
   * Sends a chunk, which must not be empty, and waits for flow control. Resolves with false, without having sent, when the broker has
   * answered already: `commit` then gives that answer. The bytes may be changed once it has resolved.
   * @throws JournalError "transport"
   */
  write(content: Uint8Array): Promise<boolean>;
  /**
   * Resolves when the next `write` need not wait for flow control, also because the RPC has ended. Until then the bytes of that may be
   * elsewhere. Never rejects. Without it, only `write` waits.
   */
  ready?(): Promise<void>;
  /** Sends the empty chunk that commits, and gives the broker's answer, whatever its status. @throws JournalError "transport", "invalid-response" */
  commit(): Promise<AppendResponse>;
  /** Ends the RPC without commit: the broker discards all of it. Settles when nothing of the call is left. Never rejects. */
  abort(): Promise<void>;
}

/**
 * The RPCs of Gazette's Journal service, one call each, without retries: what everything else in this package is made of.
 * `JournalClient` is one over gRPC; any other works as well.
 *
 * Requests are checked before anything is sent (JournalError "invalid-argument"), and answers before they are given out
 * ("invalid-response", which ends the call). Answers with a status other than OK are given out, not thrown. A failed call is a JournalError
 * "transport" with its gRPC code; a call that `signal` ended rejects with `signal.reason` itself.
 */
export interface RoutedJournalClient extends DispatchRouter {
  /**
   * Ends when the broker ends the stream. Leaving the iteration cancels the call. Goes to `options.route` when given, else to the best
   * member of the journal's known route, else to a default endpoint.
   */
  openRead(
    request: ReadRequest,
    options?: CallOptions & { readonly route?: Route },
  ): AsyncIterable<ReadResponse>;
  /** Sends the request; goes to the primary when it is known. */
  openAppend(request: AppendRequest, options?: CallOptions): AppendStream;
  /** The messages as they come: pages of journals, and in a watch an empty one behind each complete listing. `readListResponse` joins them. */
  openList(request: ListRequest, options?: CallOptions): AsyncIterable<ListResponse>;
  apply(request: ApplyRequest, options?: CallOptions): Promise<ApplyResponse>;
  /** One page. */
  listFragments(request: FragmentsRequest, options?: CallOptions): Promise<FragmentsResponse>;
  fragmentStoreHealth(fragmentStore: string, options?: CallOptions): Promise<FragmentStoreHealthResponse>;
  /** GETs a fragment's file from a URL that a broker gave. */
  readonly fragments: FragmentTransport;
}

/** The bytes of a fragment's file, as the store has them (before decompression). Leaving the iteration ends the transfer. */
export interface FragmentBody extends AsyncIterable<Uint8Array> {
  /**
   * Instead of the iteration, where a transport has it: the next bytes, into memory of the caller, which is not touched any more once the
   * promise has settled. @returns how many, 0 at the end
   */
  readonly readInto?: (target: Uint8Array) => Promise<number>;
}

/** A fragment's file, and what the store said about it. */
export interface FragmentFile {
  readonly body: FragmentBody;
  /** The store's `Content-Encoding`, or "". */
  readonly contentEncoding: string;
}

/** How the files of fragments are fetched. */
export interface FragmentTransport {
  /** @throws JournalError "url-refused", "fragment-not-found", "fragment-fetch" */
  get(
    url: string,
    options: { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal },
  ): Promise<FragmentFile>;
}
