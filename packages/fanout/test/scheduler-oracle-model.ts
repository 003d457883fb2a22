import type { ErrorClass } from "../src/errors.js";
import type { ResolvedCallOptions, SchedulerAction } from "../src/scheduler/contract.js";
import type { Views } from "../src/views.js";

// What the oracle knows, and what it takes for free by the words of the documentation.

/** A view of the tests: a half-open range of numbers on a server. */
export interface TestView {
  readonly server: string;
  readonly serves: { readonly from: number; readonly to: number };
}

type Action = SchedulerAction<number, TestView>;

export interface OracleRequest {
  readonly id: number;
  readonly call: OracleCall;
  readonly view: TestView;
  readonly offsets: readonly number[];
  readonly kind: "send" | "retry" | "hedge";
  tiedTo: number | undefined;
  begun: boolean;
}

export interface OracleCall {
  readonly id: number;
  readonly points: readonly number[];
  readonly options: ResolvedCallOptions;
  views: Views<TestView>;
  readonly satisfied: Set<number>;
  /** How often each offset was sent, hedges not counted. */
  readonly sends: number[];
  /** Of each offset: the class of the last failure of a request that carried it, and the servers that failed it. */
  readonly lastClass: (ErrorClass | undefined)[];
  readonly failedAt: Set<string>[];
  /** Of each offset: which server said last that it is not its own, what the views were then, and how often it was moved for free since. */
  readonly refusedBy: ({ readonly server: string; readonly views: Views<TestView> } | undefined)[];
  readonly moves: number[];
  /** Of each offset: the requests that delivered something for it. */
  readonly deliveredBy: Set<number>[];
  paused: boolean;
  reading: boolean;
  finished: Extract<Action, { type: "finish" }> | undefined;
}

/** The re-send after an unreachable server, while others of the call's servers answer. Half of them are enough, the scheduler's own tests say. */
export function mayBeFree(
  call: OracleCall,
  offsets: readonly number[],
  answered: (server: string) => boolean,
): boolean {
  if (!offsets.every((offset) => call.sends[offset] === 2 && call.lastClass[offset] === "unreachable"))
    return false;
  const peers = new Set<string>();
  for (let index = 0; index < call.views.length; index++) {
    const view = call.views.at(index)!;
    const { from, to } = view.serves;
    if (call.points.some((point) => point >= from && point < to)) peers.add(view.server);
  }
  return [...peers].some(answered);
}

/** A server refused all of them; and it has none of them any more, or the one that is asked now had none of them then. */
export function hasMoved(call: OracleCall, to: TestView, offsets: readonly number[]): boolean {
  if (!call.options.viewsCanBeRead) return false;
  const has = (views: Views<TestView>, server: string, offset: number): boolean =>
    Array.from({ length: views.length }, (_, index) => views.at(index)!).some(
      ({ server: other, serves: { from, to } }) =>
        other === server && call.points[offset]! >= from && call.points[offset]! < to,
    );
  const refused = offsets.every((offset) => call.lastClass[offset] === "not-mine" && call.moves[offset]! < 2);
  if (!refused) return false;
  return (
    offsets.every((offset) => !has(call.views, call.refusedBy[offset]!.server, offset)) ||
    offsets.every((offset) => !has(call.refusedBy[offset]!.views, to.server, offset))
  );
}

/** `expect` costs a hundred times as much. */
export function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`It does not hold that ${what}.`);
}
