import { describe } from "./describe.js";
import { FanoutError, type Verdict } from "./errors.js";
import type { PointValue } from "./rpc.js";

// What an rpc returned, which no compiler has seen.

/** Thrown while a request runs: the rpc did what it must not do. */
export class Misbehaviour {
  readonly error: FanoutError;
  readonly verdict: Verdict;
  readonly #ours = true;

  constructor(message: string, verdict: Verdict["class"]) {
    this.error = new FanoutError("bad-result", message);
    this.verdict = { class: verdict };
  }

  /** Not `instanceof`: an rpc may throw a proxy that does not stand being looked at. */
  static is(thrown: unknown): thrown is Misbehaviour {
    return typeof thrown === "object" && thrown !== null && #ours in thrown;
  }
}

/** The iterator of what an rpc returned, or undefined when that is a promise. @throws Misbehaviour when it is neither */
export function openIterator(returned: unknown): AsyncIterator<unknown> | undefined {
  if ((typeof returned !== "object" && typeof returned !== "function") || returned === null) {
    throw badReturn(returned);
  }
  // Nothing is claimed but that an object may have anything.
  const anything = returned as { readonly [Symbol.asyncIterator]?: unknown; readonly then?: unknown };
  const open = anything[Symbol.asyncIterator];
  if (typeof open === "function") {
    const iterator: unknown = open.call(returned);
    if (isIterator(iterator)) return iterator;
    throw badReturn(returned);
  }
  if (returned instanceof Promise || typeof anything.then === "function") return undefined;
  throw badReturn(returned);
}

function isIterator(value: unknown): value is AsyncIterator<unknown> {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "next") === "function";
}

function badReturn(returned: unknown): Misbehaviour {
  return new Misbehaviour(
    `An rpc returns a promise or an async iterable, and this one returned ${describe(returned)}.`,
    // It is the program that is wrong: another server would do no better.
    "not-retryable",
  );
}

/** What an iterator gave. @throws Misbehaviour when it is no result object */
export function checkStep(step: unknown): { readonly done?: unknown; readonly value?: unknown } {
  if (typeof step === "object" && step !== null) return step;
  throw new Misbehaviour(
    `The rpc's iterator gave ${describe(step)} instead of a result object.`,
    "retryable",
  );
}

/** What an rpc gave with `perPoint`. Whether the offset is one of the request's the scheduler knows. @throws Misbehaviour when it is no such thing */
export function checkPointValue(result: unknown): PointValue<unknown> {
  if (typeof result === "object" && result !== null && "offset" in result && "value" in result) {
    const { offset, value } = result;
    if (typeof offset === "number") return { offset, value };
  }
  throw new Misbehaviour(
    `With perPoint an rpc yields { offset, value }, and this one gave ${describe(result)}.`,
    "retryable",
  );
}

/** Resolves when the iterator has cleaned up, however that went. */
export async function closeIterator(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // Whoever is not wanted any more has nobody to complain to.
  }
}
