import type { Space } from "@x/space";
import type { Connection, ConnectionState } from "../connection.js";
import { type Endpoint, formatEndpoint } from "../endpoint.js";
import type { Place } from "../judgement/ejection-cap.js";
import {
  type JudgementContext,
  newServer,
  next,
  type ServerEvent,
  type ServerState,
  unproven,
  wakeMs,
} from "../judgement/server-state.js";
import type { ProbingSettings } from "../judgement/settings.js";
import type { Listen, Probe, ServerInfo } from "../probe.js";
import { type Agenda, Task } from "./agenda.js";
import type { RegistryView } from "./contract.js";
import { listenTo } from "./hearing.js";
import type { Known } from "./known.js";
import { Probing } from "./probing.js";
import { Problems } from "./problems.js";
import { noRamp, type Ramp, weightOf } from "./slow-start.js";
import type { Telemetry } from "./telemetry.js";
import type { Outcome, ViewContent, ViewedServer } from "./view.js";

/** What the servers of one registry share. */
export interface ServerHost<V extends ServerInfo, C> {
  readonly agenda: Agenda;
  readonly telemetry: Telemetry;
  readonly probe: Probe<C, V>;
  readonly listen: Listen<C> | undefined;
  readonly probing: ProbingSettings;
  readonly slowStartMs: number;
  readonly random: () => number;
  context(): JudgementContext;
  mayEject(): boolean;
  /** Asks for a call of `startProbe`, as soon as the pace allows. */
  queueProbe(server: Server<V, C>): void;
  /** @throws RegistryError "bad-answer" */
  check(server: Server<V, C>, info: V): Known<V>;
  /** After a change of `state`. */
  changed(server: Server<V, C>, before: ServerState): void;
  /** After a change of `known`. */
  learned(server: Server<V, C>): void;
  /** It is not active any more. */
  retired(server: Server<V, C>): void;
}

/** One server: its connection, what it is asked and what it says, and what comes of it. The shell around `ServerState`. */
export class Server<V extends ServerInfo, C> implements ViewedServer<C> {
  readonly key: string;
  readonly connection: Connection<C>;
  /** Whether the locator has it. */
  active = false;
  endpoint: Endpoint;
  state: ServerState = newServer;
  known: Known<V> | undefined;
  ramp: Ramp = noRamp;
  reconnected = false;
  /** When it became healthy or unhealthy, or was added. */
  healthSinceMs = 0;
  /** Of its probes, and of what it says unasked. */
  readonly problems: Problems = new Problems();
  readonly hearingProblems: Problems = new Problems();
  readonly probing: Probing<V, C>;

  // What the set of servers keeps here, so that it finds it without a look-up.
  view: RegistryView<V, C> | undefined;
  viewContent: ViewContent<V, C> | undefined;
  place: Place | undefined;
  listIndex = -1;
  healthyIndex = -1;
  rangeEntry: unknown;
  vote: Space<unknown> | undefined;

  readonly #host: ServerHost<V, C>;
  readonly #judgeTask: Task = new Task(() => this.apply({ type: "time", atMs: this.#host.agenda.nowMs() }));
  readonly #unlisten: () => void;
  #hearing: AbortController | undefined;
  #toldDisconnected = false;

  constructor(endpoint: Endpoint, connection: Connection<C>, host: ServerHost<V, C>) {
    this.key = formatEndpoint(endpoint);
    this.endpoint = endpoint;
    this.connection = connection;
    this.#host = host;
    this.probing = new Probing(this, host);
    this.#unlisten = connection.listen(() => this.#connectionChanged());
  }

  get channel(): C {
    return this.connection.channel;
  }

  weight(): number {
    return weightOf(this.ramp, this.#host.agenda.nowMs(), this.#host.slowStartMs);
  }

  report(outcome: Outcome): void {
    const { state } = this;
    // Nothing to do for nearly all calls that go well.
    if (!this.active || (outcome === "ok" && state.outlier.failures === 0)) return;
    this.apply({
      type: "report",
      ok: outcome === "ok",
      mayEject: this.#host.mayEject(),
      atMs: this.#host.agenda.nowMs(),
    });
  }

  /** Before the locator's new server is put into the set: a connection that nobody looked at for a while must be proven anew. */
  reset(): void {
    this.state = unproven(this.state, this.#host.agenda.nowMs());
  }

  /** The locator has it (again), and it is in the set. */
  activate(): void {
    this.active = true;
    this.#connectionChanged();
  }

  /** The locator does not have it any more. The connection stays open. */
  deactivate(): void {
    if (!this.active) return;
    this.active = false;
    this.#host.retired(this);
    this.#host.agenda.delete(this.#judgeTask);
    this.#stopAsking();
    this.probing.leave();
  }

  close(): void {
    this.deactivate();
    this.#unlisten();
    this.connection.close();
  }

  apply(event: ServerEvent): void {
    if (!this.active) return;
    const before = this.state;
    const context = this.#host.context();
    this.state = next(before, event, context);
    this.#host.agenda.setBy(this.#judgeTask, wakeMs(this.state, context));
    if (this.state !== before) this.#host.changed(this, before);
  }

  learn(known: Known<V>): void {
    if (known === this.known) return;
    this.known = known;
    this.#host.learned(this);
  }

  #connectionChanged(): void {
    const { state } = this.connection;
    if (!this.active || state === this.state.connection) return;
    const wasReady: boolean = this.state.connection === "ready";
    this.apply({ type: "connection", state, atMs: this.#host.agenda.nowMs() });
    if (wasReady) this.#stopAsking();
    if (state === "failed" && !this.#toldDisconnected)
      this.#host.telemetry.problem("connection", { event: "disconnected", endpoint: this.key });
    this.#toldDisconnected = state === "failed" || (this.#toldDisconnected && !isReady(state));
    if (isReady(state)) this.#startAsking();
    else this.reconnected = true;
  }

  #startAsking(): void {
    this.probing.start();
    if (this.#host.listen === undefined) return;
    this.#hearing = new AbortController();
    void listenTo(this, this.#host, { listen: this.#host.listen, signal: this.#hearing.signal });
  }

  #stopAsking(): void {
    this.probing.stop();
    this.#hearing?.abort(new Error("the connection is not used any more"));
    this.#hearing = undefined;
  }
}

function isReady(state: ConnectionState): boolean {
  return state === "ready";
}
