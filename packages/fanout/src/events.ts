import type { ErrorClass } from "./errors.js";

interface Step {
  /** By the fanout's clock. */
  readonly atMs: number;
  /** The call's number, from 1 within its fanout. */
  readonly call: number;
}

interface RequestStep<V> extends Step {
  /** The request's number, from 1 within its fanout. */
  readonly request: number;
  readonly view: V;
}

/**
 * One step of a call, enough to draw its trace. Per call: `plan` first and `done` last; per request: one of `send`, `retry` and
 * `hedge`, then one of `end`, `fail` and `cancel`.
 */
export type FanoutEvent<V> =
  | (Step & {
      readonly type: "plan";
      readonly points: number;
      readonly requests: number;
      readonly uncovered: number;
    })
  | (RequestStep<V> & {
      /** `send` carries its points for the first time, `retry` again, `hedge` beside the request that `of` names. */
      readonly type: "send" | "retry" | "hedge";
      readonly points: number;
      readonly attempt: number;
      /** With `hedge`, the request that was slow. */
      readonly of?: number;
    })
  | (RequestStep<V> & { readonly type: "end"; readonly latencyMs: number })
  | (RequestStep<V> & { readonly type: "fail"; readonly class: ErrorClass; readonly error: unknown })
  | (RequestStep<V> & {
      /** `lost`: another request satisfied all its points. `left`: the caller left. */
      readonly type: "cancel";
      readonly reason: "lost" | "deadline" | "left";
    })
  | (Step & {
      /** A hedge or a re-send was wanted, and there was no token. */ readonly type: "throttled";
      readonly wanted: "hedge" | "retry";
    })
  | (Step & { /** The views were read again. */ readonly type: "views" })
  | (Step & { readonly type: "done"; readonly satisfied: number; readonly failed: number });
