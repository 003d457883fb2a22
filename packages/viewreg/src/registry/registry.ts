import type { Space } from "@x/space";
import type { Clock } from "../clock.js";
import type { Endpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { ServerState } from "../judgement/server-state.js";
import { iterate } from "../locators/iteration.js";
import { pause } from "../locators/pause.js";
import type { ServerInfo } from "../probe.js";
import { systemClock, systemRandom } from "../system.js";
import { Agenda } from "./agenda.js";
import { Changes } from "./changes.js";
import type {
  HealthyView,
  PointOf,
  RegistryOptions,
  RegistrySummary,
  RegistryView,
  ServerJudgement,
  Snapshot,
} from "./contract.js";
import { Endpoints } from "./endpoints.js";
import { checkInfo } from "./known.js";
import { Locating } from "./locating.js";
import { checkOptions } from "./options.js";
import { Pace } from "./pace.js";
import { Pacer } from "./pacer.js";
import { dump, judgementOf } from "./report.js";
import type { Server, ServerHost } from "./server.js";
import { ServerSet } from "./server-set.js";
import { Telemetry } from "./telemetry.js";
import { viewMaker } from "./view.js";

/** How long closing waits for a locator that does not end when it is told to. */
const locatorEndsMs = 1000;

/**
 * Knows which servers there are (by a locator), which of them are well (by probing them, and their connections), and what they are.
 *
 * Long-lived: it has connections and timers, so end it by `await using` or `[Symbol.asyncDispose]()`. No method blocks, and
 * none but the waits is asynchronous. It takes a moment until it knows anything: see `waitForChange` and `waitForStable`.
 *
 * V is what probes resolve to, C what connections are used by, F the names of features, and X what `extend` adds to the views.
 */
export class Registry<V extends ServerInfo, C = unknown, F extends string = string, X = unknown>
  implements AsyncIterable<Snapshot<V, C, F, X>>, AsyncDisposable
{
  readonly #clock: Clock;
  readonly #agenda: Agenda;
  readonly #pacer: Pacer<Server<V, C>>;
  readonly #pace: Pace;
  readonly #set: ServerSet<V, C, F, X>;
  readonly #endpoints: Endpoints<V, C, F, X>;
  readonly #changes: Changes;
  readonly #locating: Locating;
  readonly #closing: AbortController = new AbortController();
  #located: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: RegistryOptions<V, C, F, X>) {
    const { probing, judgement, slowStartMs, drainMs } = checkOptions(options);
    const { connector, probe, listen, random = systemRandom } = options;
    const telemetry = new Telemetry(options);
    this.#clock = options.clock ?? systemClock;
    const agenda = new Agenda(this.#clock);
    this.#agenda = agenda;
    const pace = new Pace(probing, judgement);
    this.#pace = pace;
    const pacer = new Pacer<Server<V, C>>(agenda, {
      perSecond: probing.maxProbesPerSecond,
      start: (server) => server.probing.startProbe(),
    });
    this.#pacer = pacer;
    this.#changes = new Changes({ clock: this.#clock, agenda, onTurn: () => this.#measure(telemetry) });
    const space = options.space as Space<unknown> | undefined; // of the points of V, which `checkInfo` makes sure of
    const set = new ServerSet<V, C, F, X>({
      makeView: viewMaker(options.extend),
      space,
      settings: judgement,
      slowStartMs,
      telemetry,
      nowMs: () => agenda.nowMs(),
      onChange: () => this.#changes.note(),
    });
    this.#set = set;
    const host: ServerHost<V, C> = {
      agenda,
      telemetry,
      probe,
      listen,
      probing,
      slowStartMs,
      random,
      context: () => pace.context,
      mayEject: () => set.mayEject(),
      queueProbe: (server) => pacer.push(server),
      check: (server, info) => set.admit(server, checkInfo(info, { before: server.known, space })),
      changed: (server, before) => {
        this.#count(server, before);
        tell(telemetry, server, before);
        set.update(server);
      },
      learned: (server) => set.learned(server),
      retired: (server) => this.#count(server, undefined),
    };
    this.#endpoints = new Endpoints({
      set,
      host,
      connector,
      drainMs,
      onDrained: () => this.#measure(telemetry),
    });
    this.#locating = new Locating({
      locator: options.locator,
      telemetry,
      clock: this.#clock,
      random,
      onEndpoints: (endpoints) => this.#endpoints.replace(endpoints),
    });
  }

  /**
   * Starts to look for servers. Returns at once, when nothing is known yet.
   *
   * @throws RegistryError "invalid-argument"
   */
  static open<V extends ServerInfo, C, F extends string = string, X = unknown>(
    options: RegistryOptions<V, C, F, X>,
  ): Registry<V, C, F, X> {
    const registry = new Registry(options);
    registry.#located = registry.#locating.run();
    return registry;
  }

  /** Rises with each change of a view, and is never given twice: whoever reads the same version twice has the same views. */
  get version(): number {
    return this.#changes.version;
  }

  /** When the version last rose, by the clock. Every version has its own. */
  get lastChangedMs(): number {
    return this.#changes.lastChangedMs;
  }

  /** All servers that the locator has, in no particular order. The array is the caller's. */
  allViews(): (RegistryView<V, C, F> & X)[] {
    return this.#set.list.map((server) => this.#set.viewOf(server));
  }

  /** The server with this host and port; undefined when the locator has none. O(1). */
  find(endpoint: Endpoint): (RegistryView<V, C, F> & X) | undefined {
    const server = this.#endpoints.find(endpoint);
    return server && this.#set.viewOf(server);
  }

  /** Those that are well and have all of these features, in no particular order. The array is the caller's. O(healthy ones). */
  healthyViews(...features: readonly F[]): (HealthyView<V, C, F> & X)[] {
    // A view is healthy only when a probe has succeeded, so it has `info`, and with it what V says of `serves`.
    return this.#set.healthyViews(features) as (HealthyView<V, C, F> & X)[];
  }

  /**
   * Those healthy ones that serve the point and have all of these features, in no particular order. None before any server has said what
   * it serves. O(log n + those that serve it).
   *
   * @throws RegistryError "invalid-argument" for what is no point of the option `space`, or of any
   */
  viewsFor(point: PointOf<V>, ...features: readonly F[]): (HealthyView<V, C, F> & X)[] {
    const views: (HealthyView<V, C, F> & X)[] = [];
    this.visitViewsFor(point, (view) => {
      if (view.provides(...features)) views.push(view);
    });
    return views;
  }

  /** As `viewsFor`, but allocates nothing. What the visitor throws ends the visit and comes out. */
  visitViewsFor(point: PointOf<V>, visit: (view: HealthyView<V, C, F> & X) => void): void {
    const { space } = this.#set;
    if (space === undefined) return;
    if (!space.isPoint(point)) {
      // As before anybody has said anything.
      if (this.#set.mayBePoint(point)) return;
      throw new RegistryError(
        "invalid-argument",
        `this is no point of ${space.kind}, in which the servers serve`,
      );
    }
    // Only healthy ones are visited; see `healthyViews`.
    this.#set.visit(point, visit as (view: RegistryView<V, C, F> & X) => void);
  }

  /**
   * Waits until the version is another than this one.
   *
   * @returns the version that it is then; at once when it is another already, even if the signal is aborted
   * @throws the signal's reason, or RegistryError "closed"
   */
  waitForChange(version: number, options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    return this.#changes.wait(version, options);
  }

  /**
   * Waits until nothing has changed for so long. Resolves at once when nothing has, even if the signal is aborted.
   *
   * @throws the signal's reason, or RegistryError "closed" or "invalid-argument"
   */
  waitForStable(ms: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#changes.waitStable(ms, options);
  }

  /** What the registry is now, and then what it is each time it has changed: only the latest for a slow reader. Ends when it is closed. */
  [Symbol.asyncIterator](): AsyncIterator<Snapshot<V, C, F, X>, undefined> {
    return iterate(this.#closing.signal, (signal) => this.#snapshots(signal))[
      Symbol.asyncIterator
    ]() as AsyncIterator<Snapshot<V, C, F, X>, undefined>; // `iterate` ends with undefined
  }

  /** One line for each server, sorted by host, then port: state, reasons, last error, age of the last answer. For people. */
  dump(): string {
    return dump({
      servers: this.#set.list,
      refused: this.#endpoints.refused,
      locatorError: this.#locating.error,
      locatorFailures: this.#locating.failures,
      nowMs: this.#agenda.nowMs(),
    });
  }

  /** What is thought of the server with this host and port, and why; undefined when there is none. O(1). */
  inspect(endpoint: Endpoint): ServerJudgement | undefined {
    const server = this.#endpoints.find(endpoint);
    return server && judgementOf(server, this.#agenda.nowMs());
  }

  summary(): RegistrySummary {
    const { limits, connected, probesPerSecond } = this.#pace;
    const servers = this.#set.list.length;
    const healthy = this.#set.healthyCount;
    return {
      version: this.version,
      servers,
      connected,
      healthy,
      unhealthy: servers - healthy,
      draining: this.#endpoints.drainingCount,
      probesPerSecond,
      intervalMs: limits.intervalMs,
      noticeMs: limits.maxSilenceMs,
      panic: this.#set.panic,
      damped: this.#set.tally.damped,
      ejected: this.#set.tally.ejected,
      locatorFailures: this.#locating.failures,
    };
  }

  /** Closes all connections. Afterwards there are no views, and waits reject with RegistryError "closed". */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#locating.stop();
    this.#endpoints.close();
    this.#pacer.clear();
    this.#changes.close();
    this.#agenda.clear();
    this.#closing.abort(this.#changes.closed);
    const { signal, abort } = newAbort();
    try {
      await Promise.race([
        this.#located,
        pause(locatorEndsMs, { clock: this.#clock, signal }).catch(() => undefined),
      ]);
    } finally {
      abort();
    }
  }

  async *#snapshots(signal: AbortSignal): AsyncGenerator<Snapshot<V, C, F, X>, void, undefined> {
    for (;;) {
      const { version } = this;
      yield Object.freeze({ version, views: Object.freeze(this.allViews()) });
      await this.waitForChange(version, { signal });
    }
  }

  #count(server: Server<V, C>, before: ServerState | undefined): void {
    const was = (before ?? server.state).connection === "ready";
    const is = before !== undefined && server.state.connection === "ready";
    if (was !== is) this.#pace.connected += is ? 1 : -1;
  }

  #measure(telemetry: Telemetry): void {
    telemetry.metric(({ views }) => {
      const healthy = this.#set.healthyCount;
      views?.set({ state: "healthy" }, healthy);
      views?.set({ state: "unhealthy" }, this.#set.list.length - healthy);
      views?.set({ state: "draining" }, this.#endpoints.drainingCount);
    });
  }
}

function tell<V extends ServerInfo, C>(
  telemetry: Telemetry,
  server: Server<V, C>,
  before: ServerState,
): void {
  const { key: endpoint, state } = server;
  if (state.penalty.suppressed && !before.penalty.suppressed) telemetry.log({ event: "damped", endpoint });
  if (state.outlier.ejected && !before.outlier.ejected) telemetry.log({ event: "ejected", endpoint });
}

function newAbort(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}
