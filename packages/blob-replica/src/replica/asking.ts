import type { Clock } from "../clock.js";
import { BlobError, isDamage, type StoreFailure } from "../errors.js";
import { type Ref, refOf } from "../ref.js";
import { isContentOf } from "../stores/verified.js";
import type { Latencies } from "./latency.js";
import type { NamedStore } from "./options.js";
import { hasCode, saying } from "./settings.js";

/** What the ways to read from several stores have in common. */
export interface Asking {
  readonly stores: readonly NamedStore[];
  /** The stores to ask, by number, in order. */
  readonly order: readonly number[];
  readonly clock: Clock;
  readonly latencies: Latencies;
  /** Another store is asked, too, when those that were have said nothing for so long. */
  readonly hedgeAfterMs: number;
  /** When a store has failed and there is no other to ask, the rest are waited for so long; and that long for those that have been told to stop. */
  readonly limitMs: number;
  /** Every failure of a store, but for those of the losers. */
  readonly onFailure: (store: number, error: unknown) => void;
  readonly onSuccess: (store: number) => void;
  /** The store said nothing for so long that another was asked, which then answered. */
  readonly onSlow: (store: number) => void;
  /** The store lacks a blob that another has, or has it damaged. */
  readonly onDamage: (store: number, ref: Ref, bytes: number) => void;
  /** Losers that were told to stop, until they have. It never rejects. */
  readonly onLoser: (settled: Promise<void>) => void;
}

/** Why a loser is told to stop. */
export const lost: BlobError = new BlobError("unavailable", "another store was faster");

export function silentStore({ name }: NamedStore, ms: number): BlobError {
  return new BlobError("unavailable", `store ${name} has not answered a read after ${Math.round(ms)} ms`, {
    store: name,
  });
}

/** Where another was asked at once, having lost says nothing. */
const slowMs = 10;

/** It is asked late from now on. */
export function gaveUp({ latencies, onSlow }: Asking, store: number, ms: number): void {
  latencies.gaveUp(store, ms);
  if (ms >= slowMs) onSlow(store);
}

/** "not-found", "corrupt" and too much are answers, in time: whoever gives them is asked again, and so finds out what else is to be repaired. */
export function isAnswer(error: unknown): boolean {
  return isDamage(error, 0);
}

/** What a store said instead of a blob. */
export interface Failed {
  readonly store: number;
  readonly error: unknown;
}

/** Another store has the blob, which is whole. Those that had nothing whole to give, are to be repaired. */
export function tellDamage({ onDamage }: Asking, failed: readonly Failed[], ref: Ref, bytes: number): void {
  for (const { store, error } of failed) if (isDamage(error, bytes)) onDamage(store, ref, bytes);
}

/** @throws BlobError "corrupt" */
export function checkContent(blob: Uint8Array, ref: Ref, { name, store }: NamedStore): void {
  if (isContentOf(ref, blob, store)) return;
  const is = blob instanceof Uint8Array ? refOf(blob) : "no bytes";
  throw new BlobError("corrupt", `store ${name} has ${is} where ${ref} should be`, { store: name });
}

/** "not-found" only when every store said so. */
export function noneHas(ref: Ref, failures: readonly StoreFailure[]): BlobError {
  if (failures.every(({ error }) => hasCode(error, "not-found"))) {
    return new BlobError("not-found", `no store has the blob ${ref}`, { failures });
  }
  const each = failures.map(({ store, error }) => `${store}: ${saying(error)}`);
  return new BlobError("all-failed", `no store gave the blob ${ref}: ${each.join("; ")}`, { failures });
}
