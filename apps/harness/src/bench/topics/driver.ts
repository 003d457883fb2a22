/** One system as its Node client is best used: what a load calls. Lives in a process of its own, see `client-main.ts`. */
export interface Driver extends AsyncDisposable {
  /** A new, empty topic, which everything is about from then on; the one before is deleted where that is possible. */
  useTopic(name: string): Promise<void>;
  /** One message in one call. Resolves when it is acknowledged, which is after its bytes were synced. */
  publish(data: Buffer): Promise<unknown>;
  /** Several in one call; resolves when all are acknowledged. */
  publishBatch(batch: readonly Buffer[]): Promise<unknown>;
  /** A new reader of the whole topic, from its first message, that has committed nothing. */
  openReader(): Promise<Reader>;
  /** A consumer in a group, which gets what is published from then on, at once, and commits as it goes. */
  openLive(onMessage: (data: Uint8Array) => void): Promise<AsyncDisposable>;
}

export interface Reader extends AsyncDisposable {
  /**
   * Reads and commits until `deliver`, which is told how many messages came, answers false. Resolves when
   * everything delivered is committed durably.
   */
  read(deliver: (count: number) => boolean): Promise<void>;
}
