import { expect } from "vitest";
import type { FanoutEvent } from "../src/events.js";
import type { SchedulerAction, SchedulerEvent, SchedulerSetup } from "../src/scheduler/contract.js";
import { next } from "../src/scheduler/next.js";
import { createState, type SchedulerState } from "../src/scheduler/state.js";
import {
  check,
  hasMoved,
  mayBeFree,
  type OracleCall,
  type OracleRequest,
  type TestView,
} from "./scheduler-oracle-model.js";

type Event = SchedulerEvent<number, TestView>;
type Action = SchedulerAction<number, TestView>;

/** Follows a scheduler from outside, and knows as little of it as possible: after each step it looks whether all that must hold does. */
export class Oracle {
  readonly calls: Map<number, OracleCall> = new Map<number, OracleCall>();
  readonly live: Map<number, OracleRequest> = new Map<number, OracleRequest>();
  readonly dead: number[] = [];
  /** Every event so far, and the actions that answered it, as text. */
  readonly events: Event[] = [];
  readonly log: string[] = [];
  readonly setup: SchedulerSetup<TestView>;
  readonly state: SchedulerState<number, TestView>;
  nowMs = 0;
  firstSends = 0;
  paid = 0;
  hedges = 0;
  free = 0;
  moved = 0;
  hedgesToSuspects = 0;
  readonly #answeredAt: Map<string, number> = new Map<string, number>();

  constructor(setup: SchedulerSetup<TestView>) {
    this.setup = setup;
    this.state = createState<number, TestView>(setup);
  }

  step(event: Event): readonly Action[] {
    this.events.push(event);
    this.nowMs = Math.max(this.nowMs, event.nowMs);
    const delivers = this.#before(event);
    const serversBefore = this.#servers();
    const { state, actions } = next(this.state, event);
    expect(state).toBe(this.state);
    this.log.push(textOf(actions));
    let told: FanoutEvent<TestView> | undefined;
    let delivered = false;
    for (const action of actions) {
      if (action.type === "tell") told = action.event;
      else if (action.type === "send") this.#onSend(action, told);
      else if (action.type === "abort") this.#remove(action.request);
      else if (action.type === "deliver") {
        expect(delivers).not.toBe(undefined);
        expect(delivered).toBe(false);
        delivered = true;
        this.#onDeliver(action, event);
      } else if (action.type === "read-views") {
        const call = this.calls.get(action.call)!;
        expect(call.reading).toBe(false);
        call.reading = true;
      } else this.#onFinish(action);
    }
    this.#checkHedges(actions, serversBefore);
    this.#after(event);
    return actions;
  }

  /** What the event means, before the scheduler says so. Returns the request when a result of it has to be looked at. */
  #before(event: Event): OracleRequest | undefined {
    if (event.type === "start") {
      const points = event.points.points;
      this.calls.set(event.call, {
        id: event.call,
        points,
        options: event.options,
        views: event.views,
        satisfied: new Set(),
        sends: points.map(() => 0),
        lastClass: points.map(() => undefined),
        failedAt: points.map(() => new Set()),
        refusedBy: points.map(() => undefined),
        moves: points.map(() => 0),
        deliveredBy: points.map(() => new Set()),
        paused: false,
        reading: false,
        finished: undefined,
      });
    }
    const call = "call" in event ? this.calls.get(event.call) : undefined;
    if (call !== undefined && call.finished === undefined) {
      if (event.type === "pause") call.paused = true;
      if (event.type === "resume") call.paused = false;
      if (event.type === "views" && call.reading) call.views = event.views;
      if (event.type === "views" || event.type === "views-error") call.reading = false;
    }
    const request = "request" in event ? this.live.get(event.request) : undefined;
    if (request === undefined) return undefined;
    if (event.type === "result" || event.type === "end")
      this.#answeredAt.set(request.view.server, this.nowMs);
    if (event.type === "error") {
      for (const offset of request.offsets) {
        request.call.lastClass[offset] = event.verdict.class;
        request.call.failedAt[offset]!.add(request.view.server);
        request.call.refusedBy[offset] = { server: request.view.server, views: request.call.views };
      }
      this.#remove(request.id);
    }
    if (event.type === "begun") request.begun = true;
    if (event.type === "end") {
      this.#remove(request.id);
      for (const offset of request.offsets) {
        if (!request.call.options.perPoint) request.call.satisfied.add(offset);
        else if (!request.call.satisfied.has(offset)) {
          // It has ended without a value for this one.
          request.call.lastClass[offset] = "retryable";
          request.call.failedAt[offset]!.add(request.view.server);
        }
      }
    }
    return event.type === "result" ? request : undefined;
  }

  #onSend(action: Extract<Action, { type: "send" }>, told: FanoutEvent<TestView> | undefined): void {
    const { request: id, view, offsets } = action;
    const call = this.calls.get(action.call)!;
    expect(call.finished).toBe(undefined);
    expect(call.paused).toBe(false);
    expect(this.live.has(id) || this.dead.includes(id)).toBe(false);
    expect(told).toMatchObject({ request: id, call: call.id, view, points: offsets.length });
    const kind = told!.type as OracleRequest["kind"];
    expect(["send", "retry", "hedge"]).toContain(kind);
    expect(offsets.length).toBeGreaterThan(0);
    expect(offsets.length).toBeLessThanOrEqual(call.options.maxPointsPerRequest);
    expect(new Set(offsets).size).toBe(offsets.length);
    expect(action.timeoutMs).toBe(Math.max(0, call.options.deadlineMs - this.nowMs));
    const ordered = offsets.map((offset) => call.points[offset]!);
    expect(ordered).toEqual([...ordered].sort((a, b) => a - b));
    for (const offset of offsets) {
      const point = call.points[offset]!;
      expect(point >= view.serves.from && point < view.serves.to).toBe(true);
      expect(call.satisfied.has(offset)).toBe(false);
      const carriers = [...this.live.values()].filter((r) => r.call === call && r.offsets.includes(offset));
      if (kind === "hedge") {
        expect(carriers.length).toBeGreaterThan(0);
        expect(carriers.map((r) => r.view.server)).not.toContain(view.server);
        expect(call.failedAt[offset]!.has(view.server)).toBe(false);
        expect(action.attempt).toBe(call.sends[offset]);
        const { hedge } = call.options;
        if (hedge !== false && hedge.tied) expect(carriers.some(({ begun }) => !begun)).toBe(true);
      } else {
        expect(carriers).toEqual([]);
        call.sends[offset]!++;
        expect(call.sends[offset]).toBeLessThanOrEqual(call.options.retry.maxAttempts);
        expect(action.attempt).toBe(call.sends[offset]);
        expect(kind === "send").toBe(action.attempt === 1);
      }
    }
    if (kind === "send") this.firstSends++;
    else if (kind === "hedge") {
      this.hedges++;
      this.paid++;
    } else if (mayBeFree(call, offsets, (server) => this.#hasAnswered(server))) this.free++;
    else if (hasMoved(call, view, offsets)) {
      this.moved++;
      for (const offset of offsets) call.moves[offset]!++;
    } else this.paid++;
    const request = { id, call, view, offsets, kind, tiedTo: action.tiedTo, begun: false };
    expect(action.tied ?? false).toBe(call.options.hedge !== false && call.options.hedge.tied);
    if (action.tiedTo !== undefined) {
      expect(kind).toBe("hedge");
      this.live.get(action.tiedTo)!.tiedTo = id;
    }
    this.live.set(id, request);
    const atServer = [...this.live.values()].filter((r) => r.view.server === view.server);
    expect(atServer.length).toBeLessThanOrEqual(this.setup.maxInFlightPerServer);
    const { burst, ratio } = this.setup.budget;
    expect(this.paid).toBeLessThanOrEqual(burst + ratio * this.firstSends + 1e-6);
  }

  #hasAnswered(server: string): boolean {
    return this.nowMs - (this.#answeredAt.get(server) ?? Number.NEGATIVE_INFINITY) <= 1000;
  }

  #servers(): Map<unknown, { readonly isSuspect: boolean; readonly hasRoom: boolean }> {
    return new Map(
      [...this.state.servers].map(([key, { strikes, inFlight, pushbackUntilMs }]) => [
        key,
        {
          isSuspect: strikes > 0,
          hasRoom: inFlight < this.setup.maxInFlightPerServer && pushbackUntilMs <= this.nowMs,
        },
      ]),
    );
  }

  /** A hedge goes to a suspect only when there is nobody else. Servers with which something happened in this step are not looked at. */
  #checkHedges(
    actions: readonly Action[],
    before: Map<unknown, { readonly isSuspect: boolean; readonly hasRoom: boolean }>,
  ): void {
    for (const action of actions) {
      if (action.type !== "send" || this.live.get(action.request)?.kind !== "hedge") continue;
      const after = this.#servers();
      const { server } = action.view;
      if (!before.get(server)?.isSuspect || !after.get(server)?.isSuspect) continue;
      this.hedgesToSuspects++;
      const call = this.calls.get(action.call)!;
      const busy = new Set(
        actions.flatMap((other) =>
          other.type === "tell" && "view" in other.event ? [other.event.view.server] : [],
        ),
      );
      const sharing = (ofThese: readonly number[]): readonly OracleRequest[] =>
        [...this.live.values()].filter(
          (request) => request.call === call && request.offsets.some((offset) => ofThese.includes(offset)),
        );
      const carriers = sharing(action.offsets);
      for (const { view } of carriers) busy.add(view.server);
      // A server that failed any points of the request which is hedged is not asked for others of them.
      for (const { offsets } of sharing(carriers.flatMap(({ offsets }) => offsets)))
        for (const offset of offsets) for (const failed of call.failedAt[offset]!) busy.add(failed);
      for (let index = 0; index < call.views.length; index++) {
        const { server: other, serves } = call.views.at(index)!;
        const isFree = [before, after].every((servers) => {
          const found = servers.get(other);
          return found?.hasRoom === true && !found.isSuspect;
        });
        if (busy.has(other) || !isFree) continue;
        const serving = action.offsets.filter(
          (offset) => call.points[offset]! >= serves.from && call.points[offset]! < serves.to,
        );
        check(serving.length === 0, "a hedge goes to a suspect only when there is nobody else");
      }
    }
  }

  #onDeliver(action: Extract<Action, { type: "deliver" }>, event: Event): void {
    if (event.type !== "result") throw new Error("Only results are delivered.");
    expect(action.request).toBe(event.request);
    const request = this.live.get(event.request)!;
    const { call } = request;
    if (call.options.perPoint) {
      expect(request.offsets).toContain(event.offset);
      expect(call.satisfied.has(event.offset!)).toBe(false);
      call.satisfied.add(event.offset!);
      expect(action.duplicates).toEqual([]);
      return;
    }
    const others = (offset: number): boolean =>
      [...call.deliveredBy[offset]!].some((id) => id !== request.id);
    expect(action.duplicates).toEqual(request.offsets.filter(others));
    for (const offset of request.offsets) call.deliveredBy[offset]!.add(request.id);
  }

  #remove(id: number): void {
    if (this.live.delete(id)) this.dead.push(id);
  }

  #onFinish(action: Extract<Action, { type: "finish" }>): void {
    const call = this.calls.get(action.call)!;
    expect(call.finished).toBe(undefined);
    call.finished = action;
    expect([...this.live.values()].filter((request) => request.call === call)).toEqual([]);
    const failed = action.failures.map(({ offset }) => offset);
    expect(failed).toEqual([...failed].sort((a, b) => a - b));
    for (const { offset, point } of action.failures) {
      expect(point).toBe(call.points[offset]);
      expect(call.satisfied.has(offset)).toBe(false);
    }
    if (action.code === "stopped") return;
    const sentNothing = action.code === "uncovered" && call.sends.every((sends) => sends === 0);
    if (!sentNothing) expect(failed.length + call.satisfied.size).toBe(call.points.length);
    expect(action.code === "ok").toBe(failed.length === 0);
  }

  #after(event: Event): void {
    const { state } = this;
    check(event.type !== "tick" || state.wakeAtMs > this.nowMs, "after a tick the next is later");
    check(state.budget.tokens >= 0, "no token is owed");
    check(state.budget.tokens <= this.setup.budget.burst, "there are no more tokens than burst");
    check(state.requests.size === this.live.size, "the same requests live inside and outside");
    for (const request of this.live.values()) {
      check(state.requests.has(request.id), "the same requests live inside and outside");
      check(request.call.finished === undefined, "no request outlives its call");
      const isNeeded = request.offsets.some((offset) => !request.call.satisfied.has(offset));
      check(isNeeded, "a request without an open point is aborted");
    }
    for (const call of state.calls.values()) {
      // Whatever is open is carried by a request, or waits for something that comes: never forgotten.
      const seenTo = new Map<number, number>();
      for (const waiting of call.waiting) {
        for (const rank of waiting.ranks) seenTo.set(rank, (seenTo.get(rank) ?? 0) + 1);
        const comes =
          waiting.slot >= 0 || (waiting.reading > 0 && call.reading) || !Number.isNaN(call.pausedAtMs);
        check(comes, "what waits waits for something that comes");
      }
      for (const count of seenTo.values()) check(count === 1, "a point waits once");
      for (const request of call.requests) for (const rank of request.ranks) seenTo.set(rank, 2);
      call.status.forEach((status, rank) => {
        if (status === 0) check(seenTo.has(rank), "no open point is forgotten");
      });
    }
    for (const server of state.servers.values()) {
      let live = 0;
      for (const request of this.live.values()) if (request.view.server === server.key) live++;
      check(server.inFlight === live, "requests at a server are counted");
      const hasRoom = server.inFlight < this.setup.maxInFlightPerServer;
      check(!hasRoom || server.waiting.size === 0, "nothing waits for a server that has room");
    }
    if (state.calls.size === 0) {
      check(state.timers.size === 0, "without a call there is no timer");
      for (const server of state.servers.values())
        check(server.waiting.size + server.inFlight === 0, "servers are idle");
    }
  }

  /** The same events give the same actions. */
  expectReplay(): void {
    const replay = createState<number, TestView>(this.setup);
    this.events.forEach((event, index) => {
      check(
        textOf(next(replay, event).actions) === this.log[index],
        `event ${index} has the same actions again`,
      );
    });
  }

  /** Without "tell" all other actions are the same. */
  expectSameUntraced(): void {
    const traced = createState<number, TestView>(this.setup);
    const untraced = createState<number, TestView>({ ...this.setup, traced: false });
    this.events.forEach((event, index) => {
      const others = next(traced, event).actions.filter(({ type }) => type !== "tell");
      check(textOf(next(untraced, event).actions) === textOf(others), `event ${index} has the same others`);
    });
  }
}

function textOf(actions: readonly Action[]): string {
  return JSON.stringify(actions, (_key, value: unknown) => (value instanceof Error ? value.message : value));
}
