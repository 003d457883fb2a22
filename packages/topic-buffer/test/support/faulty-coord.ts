import {
  type Coord,
  CoordError,
  type GetOptions,
  type GetResult,
  type KeySelector,
  type Lease,
  type Txn,
  type TxnResult,
  type WatchBatch,
  type WatchOptions,
} from "@x/coord";

/** What becomes of one call: nothing special, not done, done without an answer, or never any answer (done or not). */
export type Fault = "none" | "not-done" | "no-answer" | "silence";

interface Options {
  readonly signal?: AbortSignal;
}

/** One process's connection to a store, with faults. */
export class FaultyCoord implements Coord {
  readonly #coord: Coord;
  /** Asked before each transaction. */
  onTxn: (txn: Txn) => Fault = () => "none";
  /** Asked before each batch of a watch is told; it comes when that resolves. */
  onWatch: (batch: WatchBatch) => Promise<void> = async () => {};
  /** Nothing gets through, either way; calls fail and watches say nothing. */
  #partition: { readonly promise: Promise<void>; readonly heal: () => void } | undefined;

  constructor(coord: Coord) {
    this.#coord = coord;
  }

  partition(): void {
    let heal = (): void => {};
    const promise = new Promise<void>((resolve) => {
      heal = resolve;
    });
    this.#partition = { promise, heal };
  }

  heal(): void {
    this.#partition?.heal();
    this.#partition = undefined;
  }

  #check(): void {
    if (this.#partition) throw new CoordError("unavailable", "partitioned");
  }

  async clusterId(options?: Options): Promise<string> {
    this.#check();
    return this.#coord.clusterId(options);
  }

  async get(selector: KeySelector, options?: GetOptions): Promise<GetResult> {
    this.#check();
    return this.#coord.get(selector, options);
  }

  async txn(txn: Txn, options?: Options): Promise<TxnResult> {
    this.#check();
    const fault = this.onTxn(txn);
    if (fault === "not-done") throw new CoordError("unavailable", "was not done");
    if (fault === "silence")
      return new Promise((_, reject) =>
        options?.signal?.addEventListener("abort", () => reject(options.signal?.reason)),
      );
    const result = await this.#coord.txn(txn, options);
    if (fault === "no-answer") throw new CoordError("unavailable", "was done, but nobody says so");
    this.#check();
    return result;
  }

  async grantLease(ttlMs: number, options?: Options): Promise<Lease> {
    this.#check();
    return this.#coord.grantLease(ttlMs, options);
  }

  async keepAlive(leaseId: bigint, options?: Options): Promise<Lease> {
    this.#check();
    return this.#coord.keepAlive(leaseId, options);
  }

  async revokeLease(leaseId: bigint, options?: Options): Promise<void> {
    this.#check();
    return this.#coord.revokeLease(leaseId, options);
  }

  async *watch(selector: KeySelector, options?: WatchOptions): AsyncGenerator<WatchBatch> {
    for await (const batch of this.#coord.watch(selector, options)) {
      await this.onWatch(batch);
      while (this.#partition) await this.#partition.promise;
      yield batch;
    }
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
