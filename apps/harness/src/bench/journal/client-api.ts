/**
 * What the benchmark uses of `@x/journal-client`. It is loaded as it was built, by its path: this app does not depend on the package.
 * A test holds these shapes against the package's own.
 */
export interface JournalClientModule {
  readonly JournalClient: new (options: { readonly endpoints: string }) => BenchedClient;
}

export interface BenchedClient extends AsyncDisposable {
  append(request: { readonly journal: string }, options: { readonly content?: Uint8Array }): Promise<unknown>;
  appender(request: { readonly journal: string }): {
    write(chunk: Uint8Array): Promise<void>;
    commit(): Promise<unknown>;
  };
  appendService(): BenchedAppendService;
  getJournal(journal: string): Promise<unknown>;
  installFileTransport(root: string): () => void;
  retryReader(request: BenchedReadRequest, options?: { readonly signal?: AbortSignal }): BenchedReader;
}

export interface BenchedReadRequest {
  readonly journal: string;
  readonly offset?: bigint;
  readonly endOffset?: bigint;
  readonly block?: boolean;
  readonly doNotProxy?: boolean;
  readonly metadataOnly?: boolean;
}

export interface BenchedReader {
  /** Of the RPC that goes on now. */
  readonly reader: {
    readonly request: BenchedReadRequest;
    readonly response: { readonly fragmentUrl: string } | undefined;
  };
  read(): Promise<Uint8Array | undefined>;
  close(): Promise<void>;
}

export interface BenchedAppendService {
  startAppend(request: { readonly journal: string }): {
    readonly writer: { write(content: Uint8Array): void };
    release(): void;
  };
  ready(): Promise<void>;
  pendingExcept(journal: string): Iterable<{ err(): Promise<unknown> }>;
  close(): Promise<void>;
}

export async function loadJournalClient(): Promise<JournalClientModule> {
  const built = new URL("../../../../../packages/journal-client/dist/index.js", import.meta.url);
  return (await import(built.href)) as JournalClientModule;
}
