import type { ChannelCredentials, ChannelOptions } from "@grpc/grpc-js";
import type { Clock } from "../clock.js";
import type { Route } from "../protocol/header.js";
import { listSelector } from "../protocol/request-rules.js";
import type {
  AppendRequest,
  ApplyRequest,
  FragmentsRequest,
  ListRequest,
  ReadRequest,
} from "../protocol/requests.js";
import type {
  ApplyResponse,
  FragmentStoreHealthResponse,
  FragmentsResponse,
  ListResponse,
  ReadResponse,
} from "../protocol/responses.js";
import { systemClock } from "../system.js";
import { decodeReadResponse } from "../wire/read-response.js";
import {
  encodeAppendRequest,
  encodeApplyRequest,
  encodeFragmentStoreHealthRequest,
  encodeFragmentsRequest,
  encodeListRequest,
  encodeReadRequest,
} from "../wire/requests.js";
import {
  decodeApplyResponse,
  decodeFragmentStoreHealthResponse,
  decodeFragmentsResponse,
} from "../wire/responses.js";
import { journalMethods } from "../wire/service.js";
import { AppendCall } from "./append-call.js";
import type { Authorizer } from "./auth.js";
import { CallScopes } from "./call-scope.js";
import { fullChannelOptions } from "./channel-options.js";
import { ChannelPool } from "./channel-pool.js";
import { appendScope, applyScope, listScope, readScope, storeScope } from "./claims.js";
import { Dispatcher } from "./dispatcher.js";
import { parseEndpoints } from "./endpoint.js";
import type { ClientEvent } from "./events.js";
import { listDecoder } from "./list-decoder.js";
import { MessageStream } from "./message-stream.js";
import { type CallOpener, type CallPlan, openCall } from "./open-call.js";
import { RouteCache } from "./route-cache.js";
import type { AppendStream, CallOptions, DispatchRouter } from "./routed-journal-client.js";
import { unaryCall } from "./unary-call.js";

const DEFAULT_ROUTES = { size: 1024, ttlMs: 3_600_000 };

export interface GrpcClientOptions {
  /** Brokers to begin with: `http://host:port`, `https://host:port` or `unix://host/path`. Of several, the first that can be reached is used. */
  readonly endpoints: string | readonly string[];
  /** Where this process runs: brokers of the same zone are preferred. */
  readonly zone?: string;
  /** Of https endpoints. Default: TLS with the certificates that Node knows. */
  readonly credentials?: ChannelCredentials;
  /** Default: no authorization. */
  readonly auth?: Authorizer;
  /** Which broker has which journal. Default: a cache of 1,024 journals for an hour. */
  readonly routes?: DispatchRouter | { readonly size: number; readonly ttlMs: number };
  /** Laid over the client's own. */
  readonly channelOptions?: ChannelOptions;
  readonly clock?: Clock;
  readonly onEvent?: (event: ClientEvent) => void;
}

/** The RPCs of RoutedJournalClient, over gRPC. */
export class GrpcClient implements DispatchRouter, AsyncDisposable {
  readonly #pool: ChannelPool;
  readonly #router: DispatchRouter;
  readonly #opener: CallOpener;
  readonly #scopes = new CallScopes();

  /** Connects to nobody: that comes with the first call. @throws JournalError "invalid-argument" */
  constructor(options: GrpcClientOptions) {
    const { zone, auth, routes = DEFAULT_ROUTES, clock = systemClock, onEvent = () => {} } = options;
    const defaults = parseEndpoints(options.endpoints);
    const channelOptions = fullChannelOptions(options.channelOptions);
    this.#router = "updateRoute" in routes ? routes : new RouteCache({ ...routes, clock });
    this.#pool = new ChannelPool({ credentials: options.credentials, channelOptions, clock, defaults });
    const dispatcher = new Dispatcher({
      pool: this.#pool,
      router: this.#router,
      zone,
      defaults,
      clock,
      onEvent,
    });
    this.#opener = { dispatcher, auth };
  }

  route(item: string): Route {
    return this.#router.route(item);
  }

  updateRoute(item: string, route: Route | undefined): void {
    this.#router.updateRoute(item, route);
  }

  get isNoopRouter(): boolean {
    return this.#router.isNoopRouter;
  }

  openRead(
    request: ReadRequest,
    { signal, route }: CallOptions & { readonly route?: Route } = {},
  ): AsyncIterableIterator<ReadResponse, undefined> {
    return new MessageStream({
      method: journalMethods.read,
      request: () => encodeReadRequest(request),
      begin: () => this.#scopes.open(signal),
      open: async (call) =>
        openCall(
          this.#opener,
          {
            method: journalMethods.read,
            destination: { journal: request.journal, route },
            scope: () => readScope(request.journal),
          },
          call,
        ),
      decode: decodeReadResponse,
    });
  }

  openAppend(request: AppendRequest, { signal }: CallOptions = {}): AppendStream {
    return new AppendCall({
      method: journalMethods.append,
      request: () => encodeAppendRequest(request),
      begin: () => this.#scopes.open(signal),
      open: (call) =>
        openCall(
          this.#opener,
          {
            method: journalMethods.append,
            destination: { journal: request.journal, primary: true },
            scope: () => appendScope(request.journal),
          },
          call,
        ),
    });
  }

  openList(
    request: ListRequest,
    { signal }: CallOptions = {},
  ): AsyncIterableIterator<ListResponse, undefined> {
    return new MessageStream({
      method: journalMethods.list,
      request: () => encodeListRequest(request),
      begin: () => this.#scopes.open(signal),
      open: async (call) =>
        openCall(
          this.#opener,
          {
            method: journalMethods.list,
            destination: { wait: true },
            scope: () => listScope(listSelector(request)),
          },
          call,
        ),
      decode: listDecoder(),
    });
  }

  apply(request: ApplyRequest, options: CallOptions = {}): Promise<ApplyResponse> {
    return this.#unary(
      {
        request: () => encodeApplyRequest(request),
        plan: () => ({
          method: journalMethods.apply,
          destination: { wait: true },
          scope: () => applyScope(request),
        }),
        decode: decodeApplyResponse,
      },
      options,
    );
  }

  listFragments(request: FragmentsRequest, options: CallOptions = {}): Promise<FragmentsResponse> {
    return this.#unary(
      {
        request: () => encodeFragmentsRequest(request),
        plan: () => ({
          method: journalMethods.listFragments,
          destination: { journal: request.journal },
          scope: () => readScope(request.journal),
        }),
        decode: decodeFragmentsResponse,
      },
      options,
    );
  }

  fragmentStoreHealth(
    fragmentStore: string,
    options: CallOptions = {},
  ): Promise<FragmentStoreHealthResponse> {
    return this.#unary(
      {
        request: () => encodeFragmentStoreHealthRequest(fragmentStore),
        plan: () => ({
          method: journalMethods.fragmentStoreHealth,
          destination: {},
          scope: storeScope,
        }),
        decode: decodeFragmentStoreHealthResponse,
      },
      options,
    );
  }

  async #unary<T>(
    rpc: {
      /** Checks, first of all. */
      readonly request: () => Buffer;
      readonly plan: () => CallPlan;
      readonly decode: (message: Buffer) => T;
    },
    { signal }: CallOptions,
  ): Promise<T> {
    const request = rpc.request();
    const plan = rpc.plan();
    const call = this.#scopes.open(signal);
    try {
      const open = await openCall(this.#opener, plan, call);
      return rpc.decode(await unaryCall(plan.method, request, { open, call }));
    } finally {
      call.end();
    }
  }

  /** Ends all calls, which fail with "closed", and resolves when they are over and the connections closed. */
  async close(): Promise<void> {
    await this.#scopes.close();
    this.#pool.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
