import { RegistryError } from "../errors.js";
import type { ServerInfo } from "../probe.js";
import { Task } from "./agenda.js";
import type { Known } from "./known.js";
import type { Server, ServerHost } from "./server.js";

/** A probe that is under way. */
interface Flight {
  readonly controller: AbortController;
  readonly startedMs: number;
}

/** Asks one server again and again, one probe at a time, as long as its connection is ready. */
export class Probing<V extends ServerInfo, C> {
  readonly #server: Server<V, C>;
  readonly #host: ServerHost<V, C>;
  // Left on the agenda when they are not wanted any more, and moved only when they go off too early: that costs less than moving
  // them with each probe, and a connection that breaks has nothing to take off.
  readonly #dueTask: Task = new Task(() => this.#due());
  readonly #timeoutTask: Task = new Task(() => this.#late());
  #running = false;
  #queued = false;
  #flight: Flight | undefined;
  #startedMs = Number.NEGATIVE_INFINITY;
  #dueMs = 0;
  /** When a probe was last answered; undefined before. */
  answeredMs: number | undefined;

  constructor(server: Server<V, C>, host: ServerHost<V, C>) {
    this.#server = server;
    this.#host = host;
  }

  start(): void {
    this.#running = true;
    this.#queue();
  }

  stop(): void {
    this.#running = false;
    this.#land()?.controller.abort(new RegistryError("closed", "the connection is not used any more"));
  }

  /** Leaves nothing on the agenda. */
  leave(): void {
    this.stop();
    this.#host.agenda.delete(this.#dueTask);
    this.#host.agenda.delete(this.#timeoutTask);
  }

  /** @returns whether a probe was started */
  startProbe(): boolean {
    this.#queued = false;
    if (!this.#running || this.#flight !== undefined) return false;
    const { agenda, probe, probing } = this.#host;
    this.#startedMs = agenda.nowMs();
    const flight: Flight = { controller: new AbortController(), startedMs: this.#startedMs };
    this.#flight = flight;
    agenda.setBy(this.#timeoutTask, this.#startedMs + probing.timeoutMs);
    const context = {
      endpoint: this.#server.endpoint,
      signal: flight.controller.signal,
      timeoutMs: probing.timeoutMs,
    };
    let answer: Promise<V>;
    try {
      answer = Promise.resolve(probe(this.#server.channel, context));
    } catch (error) {
      answer = Promise.reject(error);
    }
    answer.then(
      (info) => this.#answered(flight, info),
      (error: unknown) => this.#rejected(flight, error),
    );
    return true;
  }

  #answered(flight: Flight, info: V): void {
    if (flight !== this.#flight) return;
    let known: Known<V>;
    try {
      known = this.#host.check(this.#server, info);
    } catch (error) {
      this.#settle(flight, { type: "bad", kind: "nonsense", error });
      return;
    }
    this.#server.problems.clear();
    this.#server.learn(known);
    this.#settle(flight, { type: "good" });
  }

  #rejected(flight: Flight, error: unknown): void {
    if (flight !== this.#flight) return;
    if (error instanceof RegistryError && error.code === "not-serving")
      this.#settle(flight, { type: "denied", kind: "not-serving", error });
    else if (error instanceof Error && error.name === "TimeoutError") this.#timeout();
    else this.#settle(flight, { type: "bad", kind: "bad-answer", error });
  }

  #settle(
    flight: Flight,
    outcome:
      | { readonly type: "good" }
      | { readonly type: "bad" | "denied"; readonly kind: string; readonly error: unknown },
  ): void {
    // It may have asked several things, and the answer to one was enough.
    this.#land()?.controller.abort(new RegistryError("closed", "the probe is over"));
    const now = this.#host.agenda.nowMs();
    this.answeredMs = now;
    const { telemetry } = this.#host;
    telemetry.metric(({ probes }) => probes?.inc({ outcome: outcome.type === "good" ? "ok" : "bad" }));
    telemetry.metric(({ probeSeconds }) => probeSeconds?.observe((now - flight.startedMs) / 1000));
    if (outcome.type !== "good") this.#failed(outcome.kind, outcome.error);
    this.#server.apply({ type: outcome.type, atMs: now });
    this.#plan();
  }

  /** Nothing came. That is no event: the time of the last answer tells. */
  #timeout(): void {
    const flight = this.#land();
    if (flight === undefined) return;
    this.#host.telemetry.metric(({ probes }) => probes?.inc({ outcome: "silent" }));
    const error = new Error(`no answer in ${this.#host.probing.timeoutMs} ms`);
    error.name = "TimeoutError";
    this.#failed("silent", error);
    flight.controller.abort(error);
    this.#plan();
  }

  #failed(kind: string, error: unknown): void {
    if (!this.#server.problems.add(kind, error)) return;
    const { key: endpoint } = this.#server;
    this.#host.telemetry.problem("probe", { event: "probe-failed", endpoint, reason: kind, error });
  }

  #land(): Flight | undefined {
    const flight = this.#flight;
    this.#flight = undefined;
    return flight;
  }

  /** Never mind the cap: whoever is due waits in a queue for his turn, and that is what makes intervals longer, for all the same. */
  #plan(): void {
    if (!this.#running) return;
    const { agenda, probing, random } = this.#host;
    const dueMs = this.#startedMs + probing.intervalMs * (1 - probing.jitter * random());
    this.#dueMs = dueMs;
    if (dueMs <= agenda.nowMs()) this.#queue();
    else agenda.setBy(this.#dueTask, dueMs);
  }

  #due(): void {
    if (!this.#running || this.#flight !== undefined) return;
    const { agenda } = this.#host;
    if (agenda.nowMs() < this.#dueMs) agenda.set(this.#dueTask, this.#dueMs);
    else this.#queue();
  }

  #late(): void {
    if (this.#flight === undefined) return;
    const { agenda, probing } = this.#host;
    const dueMs = this.#flight.startedMs + probing.timeoutMs;
    if (agenda.nowMs() < dueMs) agenda.set(this.#timeoutTask, dueMs);
    else this.#timeout();
  }

  #queue(): void {
    if (this.#queued) return;
    this.#queued = true;
    this.#host.queueProbe(this.#server);
  }
}
