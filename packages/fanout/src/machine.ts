import type { ResolvedFanoutOptions } from "./check-options.js";
import { attempt } from "./describe.js";
import type { FanoutEvent } from "./events.js";
import { IdMap } from "./id-map.js";
import { Queue } from "./queue.js";
import type { RequestOwner, RunningRequest } from "./request.js";
import type { Chunk } from "./rpc.js";
import type { SchedulerAction, SchedulerEvent } from "./scheduler/contract.js";
import { next } from "./scheduler/next.js";
import { createState, type SchedulerState } from "./scheduler/state.js";
import { statsOf } from "./scheduler/stats.js";
import type { FanoutStats } from "./stats.js";

type Action<V, T> = Extract<SchedulerAction<unknown, V>, { readonly type: T }>;
type Event<V> = SchedulerEvent<unknown, V>;
export type CallRequest<V> = RunningRequest<V, MachineCall<V>>;

/** A call, as far as the machine sees it. */
export interface MachineCall<V> extends RequestOwner<V> {
  /** From 1 within the fanout. */
  readonly id: number;
  /** What the signals of requests are aborted with when they are not wanted any more. */
  abortReason(): unknown;
  prepare(action: Action<V, "send">): CallRequest<V>;
  deliver(chunk: Chunk<V, unknown>): void;
  readViews(): void;
  finish(action: Pick<Action<V, "finish">, "code" | "failures" | "viewsError">): void;
  /** Instead of `finish`, when the scheduler could not go on with it. */
  crash(error: unknown): void;
  /** Runs something in the async context in which the call was begun. */
  runInContext(task: () => void): void;
}

/** The longest delay that Node's timers take; a longer one would fire at once. */
const longestDelayMs = 2 ** 31 - 1;

/**
 * The loop around the scheduler, one per fanout: feeds it what happens, in order, and carries out what it asks for. An event
 * that comes up while an action is carried out (an rpc that throws at once, a hook that begins another call) waits in
 * the queue, so that the scheduler's steps never interleave.
 */
export class Machine<V> {
  readonly options: ResolvedFanoutOptions<V>;
  #state: SchedulerState<unknown, V>;
  readonly #events: Queue<Event<V>> = new Queue<Event<V>>();
  #draining = false;
  readonly #calls: IdMap<MachineCall<V>> = new IdMap();
  readonly #requests: IdMap<CallRequest<V>> = new IdMap();
  #alarms = new Set<{ readonly dueMs: number; readonly ring: () => void }>();
  #lastCall = 0;
  #nowMs = Number.NEGATIVE_INFINITY;
  #timerMs = Number.POSITIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;
  /** Makes the ids of tied pairs unique among processes. */
  readonly #tiePrefix: string;

  constructor(options: ResolvedFanoutOptions<V>) {
    this.options = options;
    this.#tiePrefix = [uint32(options.random), uint32(options.random)]
      .map((part) => part.toString(36))
      .join("");
    this.#state = createState<unknown, V>({
      // Asked in the middle of the scheduler's work, where a throw would leave it in pieces.
      serverOf: (view) => {
        try {
          return options.serverOf(view) ?? view;
        } catch {
          return view;
        }
      },
      locality: (view) => {
        try {
          const distance: unknown = options.locality(view);
          return typeof distance === "number" && !Number.isNaN(distance) ? distance : 0;
        } catch {
          return 0;
        }
      },
      maxInFlightPerServer: options.maxInFlightPerServer,
      budget: options.budget,
      seed: uint32(options.random),
      traced: options.onEvent !== undefined,
    });
  }

  /** The time, which never goes back, whatever the clock does. */
  nowMs(): number {
    this.#nowMs = Math.max(this.#nowMs, this.options.clock.monotonicMs());
    return this.#nowMs;
  }

  nextCallId(): number {
    this.#lastCall += 1;
    return this.#lastCall;
  }

  stats(): FanoutStats {
    return statsOf(this.#state);
  }

  start(call: MachineCall<V>, event: Extract<Event<V>, { readonly type: "start" }>): void {
    this.#calls.set(call.id, call);
    this.report(event);
  }

  /** Something has happened, now. */
  report(event: Event<V>): void {
    if (this.#draining) {
      this.#events.push(event);
      return;
    }
    this.#draining = true;
    try {
      let upcoming: Event<V> | undefined = event;
      for (; upcoming !== undefined; upcoming = this.#events.shift()) this.#step(upcoming);
    } finally {
      this.#draining = false;
    }
    this.#arm();
  }

  /** Tells the hook. What it throws is ignored. */
  tell(call: MachineCall<V> | undefined, event: FanoutEvent<V>): void {
    const { onEvent } = this.options;
    if (onEvent === undefined) return;
    const task = (): void => void attempt(() => onEvent(event));
    if (call === undefined) task();
    else call.runInContext(task);
  }

  /** Calls back once, at or after `dueMs`, by the timer that the scheduler uses too. The returned function takes it back. */
  setAlarm(dueMs: number, ring: () => void): () => void {
    const alarm = { dueMs, ring };
    this.#alarms.add(alarm);
    this.#arm();
    return () => {
      this.#alarms.delete(alarm);
      this.#arm();
    };
  }

  #step(event: Event<V>): void {
    let actions: readonly SchedulerAction<unknown, V>[];
    try {
      const stepped = next(this.#state, event);
      this.#state = stepped.state;
      actions = stepped.actions;
    } catch (error) {
      this.#crash(event, error);
      return;
    }
    // Its rpc has returned: nothing about it comes any more.
    if (event.type === "end" || event.type === "error") this.#requests.delete(event.request);
    let finished: number | undefined;
    for (const action of actions) {
      this.#carryOut(action);
      if (action.type === "finish") finished = action.call;
    }
    // Not before the actions behind it: the hook is told of the end in the call's context, too.
    if (finished !== undefined) this.#calls.delete(finished);
  }

  #carryOut(action: SchedulerAction<unknown, V>): void {
    switch (action.type) {
      case "send":
        this.#send(action);
        break;
      case "abort":
        this.#abort(action.request);
        break;
      case "deliver": {
        const request = this.#requests.get(action.request);
        request?.owner.deliver(request.takeChunk(action.duplicates));
        break;
      }
      case "read-views":
        this.#calls.get(action.call)?.readViews();
        break;
      case "finish":
        this.#calls.get(action.call)?.finish(action);
        break;
      case "tell":
        this.tell(this.#calls.get(action.event.call), action.event);
        break;
    }
  }

  #send(action: Action<V, "send">): void {
    const request = this.#calls.get(action.call)?.prepare(action);
    if (request === undefined) return;
    this.#requests.set(request.id, request);
    if (action.tied) {
      const other = action.tiedTo === undefined ? undefined : this.#requests.get(action.tiedTo);
      request.tie(other, () => `${this.#tiePrefix}-${request.id}`);
    }
    request.owner.runInContext(() => request.start());
  }

  #abort(id: number): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    this.#requests.delete(id);
    const { owner } = request;
    owner.runInContext(() => request.abort(owner.abortReason()));
  }

  /** The scheduler refused an event. That ends the calls that the event was about, and no others. */
  #crash(event: Event<V>, error: unknown): void {
    for (const call of this.#callsOf(event)) {
      this.#calls.delete(call.id);
      for (const request of [...this.#requests.values()]) {
        if (request.owner === call) this.#abort(request.id);
      }
      call.crash(error);
      // A call that did not start is not there, and one that cannot be stopped is past help.
      if (event.type !== "start" && event.type !== "stop") {
        this.report({ type: "stop", nowMs: this.nowMs(), call: call.id });
      }
    }
  }

  #callsOf(event: Event<V>): MachineCall<V>[] {
    if ("request" in event) {
      const request = this.#requests.get(event.request);
      return request === undefined ? [] : [request.owner];
    }
    if (!("call" in event)) return [...this.#calls.values()];
    const call = this.#calls.get(event.call);
    return call === undefined ? [] : [call];
  }

  /** Sees to it that the timer fires when something is due, or before, and that there is none when nothing is. */
  #arm(): void {
    if (this.#draining) return;
    let dueMs = this.#calls.size === 0 ? Number.POSITIVE_INFINITY : this.#state.wakeAtMs;
    for (const alarm of this.#alarms) dueMs = Math.min(dueMs, alarm.dueMs);
    // One that fires too early finds nothing to do and is set anew. That is rare, and setting it at each event would cost.
    if (this.#cancelTimer !== undefined && this.#timerMs <= dueMs && dueMs !== Number.POSITIVE_INFINITY)
      return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const nowMs = this.nowMs();
    const delayMs = Math.min(Math.max(dueMs - nowMs, 0), longestDelayMs);
    // Of what is due already its own time: by a later one the next event would set the timer anew, and so on, as long as events come.
    this.#timerMs = Math.min(dueMs, nowMs + delayMs);
    this.#cancelTimer = this.options.clock.setTimer(delayMs, this.#onTimer);
  }

  readonly #onTimer = (): void => {
    this.#cancelTimer = undefined;
    const nowMs = this.nowMs();
    for (const alarm of [...this.#alarms]) {
      if (alarm.dueMs > nowMs || !this.#alarms.delete(alarm)) continue;
      alarm.ring();
    }
    if (this.#calls.size > 0 && this.#state.wakeAtMs <= nowMs) this.report({ type: "tick", nowMs });
    else this.#arm();
  };
}

function uint32(random: () => number): number {
  return Math.floor(random() * 2 ** 32) >>> 0;
}
