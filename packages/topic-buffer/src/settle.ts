import { type Coord, CoordError, type Txn, type TxnResult } from "@x/coord";
import { type Runtime, sleep } from "@x/topic-gateway/protocol";

export interface SettledTxn extends TxnResult {
  /** An earlier attempt ended without an answer: a refusal may be because that one was applied. */
  readonly repeated: boolean;
}

/**
 * Runs a transaction until the store says what became of it. An attempt that ends with "unavailable" may or may not have been
 * applied, or may be applied later, so the transaction must be one that can't apply twice: its compares must fail once it did.
 * @throws CoordError of any other code, or `signal.reason`
 */
export async function settleTxn(
  coord: Coord,
  txn: Txn,
  { runtime, signal }: { readonly runtime: Runtime; readonly signal: AbortSignal },
): Promise<SettledTxn> {
  for (let attempt = 0; ; attempt++) {
    try {
      return { ...(await coord.txn(txn, { signal })), repeated: attempt > 0 };
    } catch (error) {
      if (!(error instanceof CoordError) || error.code !== "unavailable") throw error;
      await sleep(runtime.clock, backoffMs(runtime, attempt, 20, 1_000), signal);
    }
  }
}

/** Doubles from `firstMs` to `maxMs`, of which a random half to all is taken. */
export function backoffMs(
  runtime: Pick<Runtime, "random">,
  attempt: number,
  firstMs: number,
  maxMs: number,
): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
  return full * (0.5 + runtime.random.number() / 2);
}

/** For calls that take no signal: what comes of them after an abort is nobody's business any more. @throws `signal.reason` */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    const done = (): void => signal.removeEventListener("abort", onAbort);
    work.then(
      (value) => {
        done();
        resolve(value);
      },
      (error) => {
        done();
        reject(error);
      },
    );
  });
}
