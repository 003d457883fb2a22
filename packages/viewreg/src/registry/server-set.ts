import { type RangeEntry, RangeIndex, type Space, spaceOf } from "@x/space";
import { RegistryError } from "../errors.js";
import {
  emptyTally,
  mayEject,
  move,
  type Panic,
  type Place,
  panicOf,
  type Tally,
} from "../judgement/ejection-cap.js";
import { denies, type ServerState } from "../judgement/server-state.js";
import type { JudgementSettings } from "../judgement/settings.js";
import { reasonsOf, standingOf } from "../judgement/standing.js";
import type { ServerInfo } from "../probe.js";
import type { RegistryView } from "./contract.js";
import type { Known } from "./known.js";
import type { Server } from "./server.js";
import { enter, leave } from "./slow-start.js";
import { SpaceVote } from "./space-vote.js";
import type { Telemetry } from "./telemetry.js";
import type { MakeView } from "./view.js";

export interface ServerSetOptions<V extends ServerInfo, C, F extends string, X> {
  readonly makeView: MakeView<V, C, F, X>;
  /** Default: the one that most servers' points are of. */
  readonly space: Space<unknown> | undefined;
  readonly settings: JudgementSettings;
  readonly slowStartMs: number;
  readonly telemetry: Telemetry;
  readonly nowMs: () => number;
  /** A view was added, removed or replaced. */
  readonly onChange: () => void;
}

/**
 * The servers that there are and their views, as of now. A change of one server takes O(1), or O(log n) when it changed what it serves:
 * counts are kept, lists are unordered, and the range index has servers and not views, so that health does not touch it. Only the
 * beginning and the end of a panic touch all those who are used because of it, and all are touched when most serve in another space.
 */
export class ServerSet<V extends ServerInfo, C, F extends string, X> {
  readonly #options: ServerSetOptions<V, C, F, X>;
  readonly #list: Server<V, C>[] = [];
  readonly #healthy: Server<V, C>[] = [];
  /** Those who may be used in a panic. */
  readonly #members: Readonly<Record<"usable" | "silent", Set<Server<V, C>>>> = {
    usable: new Set(),
    silent: new Set(),
  };
  readonly #visitor: (server: Server<V, C>) => void = (server) => this.#visit(server);
  readonly #vote: SpaceVote = new SpaceVote();
  /** Of those whose points are of the space. */
  #index: RangeIndex<unknown, Server<V, C>> | undefined;
  #visiting: ((view: RegistryView<V, C, F> & X) => void) | undefined;
  #tally: Tally = emptyTally;
  #panic: Panic = "off";

  constructor(options: ServerSetOptions<V, C, F, X>) {
    this.#options = options;
    if (options.space !== undefined) this.#index = new RangeIndex(options.space);
  }

  /** In no particular order. */
  get list(): readonly Server<V, C>[] {
    return this.#list;
  }

  get healthyCount(): number {
    return this.#healthy.length;
  }

  get tally(): Tally {
    return this.#tally;
  }

  get panic(): Panic {
    return this.#panic;
  }

  /** The space of what healthy servers serve, undefined as long as no server has said anything. */
  get space(): Space<unknown> | undefined {
    return this.#index?.space;
  }

  /** The view of a server of this set. */
  viewOf(server: Server<V, C>): RegistryView<V, C, F> & X {
    // Only `#refresh` writes it, with what `makeView` makes, and `add` calls that first.
    return server.view as RegistryView<V, C, F> & X;
  }

  healthyViews(features: readonly F[]): (RegistryView<V, C, F> & X)[] {
    const views: (RegistryView<V, C, F> & X)[] = [];
    for (const server of this.#healthy) if (providesAll(server, features)) views.push(this.viewOf(server));
    return views;
  }

  /** Calls back for each healthy view whose range has the point. Allocates nothing. The point must be one of the space. */
  visit(point: unknown, visit: (view: RegistryView<V, C, F> & X) => void): void {
    if (this.#index === undefined) return;
    // A visitor may ask for another point.
    const outer = this.#visiting;
    this.#visiting = visit;
    try {
      this.#index.visit(point, this.#visitor);
    } finally {
      this.#visiting = outer;
    }
  }

  /** Whether servers could serve it if most said so: then it is not the caller's fault that none does. */
  mayBePoint(point: unknown): boolean {
    if (this.#options.space !== undefined) return false;
    try {
      return spaceOf<unknown>(point).isPoint(point);
    } catch {
      return false;
    }
  }

  /** Notes the space of what a server says of itself. @throws RegistryError "bad-answer" when it is another than the others' */
  admit(server: Server<V, C>, known: Known<V>): Known<V> {
    if (server.listIndex < 0) return known;
    this.#setVote(server, known.space);
    const elected = this.space;
    if (known.space === undefined || known.space === elected) return known;
    throw new RegistryError(
      "bad-answer",
      `\`serves\` is a range of ${known.space.kind}, and of ${elected?.kind} with the other servers`,
    );
  }

  mayEject(): boolean {
    const { outlier } = this.#options.settings;
    return outlier !== false && mayEject(this.#tally, outlier.maxEjectedShare);
  }

  add(server: Server<V, C>): void {
    server.listIndex = this.#list.push(server) - 1;
    server.view = undefined;
    server.healthSinceMs = this.#options.nowMs();
    this.#setRange(server);
    this.update(server);
  }

  remove(server: Server<V, C>): void {
    removeAt(this.#list, "listIndex", server);
    this.#setPlace(server, false);
    if (server.healthyIndex >= 0) this.#setHealthy(server, false, "removed");
    this.#setRange(server);
    this.#setVote(server, undefined);
    server.view = undefined;
    this.#options.onChange();
  }

  /** After a change of the server's state. */
  update(server: Server<V, C>): void {
    this.#setPlace(server, true);
    this.#refresh(server);
  }

  /** After a change of what is known of the server. */
  learned(server: Server<V, C>): void {
    this.#setRange(server);
    this.#refresh(server);
  }

  #setPlace(server: Server<V, C>, isThere: boolean): void {
    const { place: from, state } = server;
    const to = isThere ? placeOf(state) : undefined;
    if (samePlace(from, to)) return;
    server.place = to;
    if (from?.standing === "usable" || from?.standing === "silent")
      this.#members[from.standing].delete(server);
    if (to?.standing === "usable" || to?.standing === "silent") this.#members[to.standing].add(server);
    this.#tally = move(this.#tally, from, to);
    this.#setPanic(panicOf(this.#tally, this.#options.settings.panicThreshold));
  }

  #setPanic(panic: Panic): void {
    if (panic === this.#panic) return;
    const before = this.#panic;
    this.#panic = panic;
    if (before !== "off") for (const member of this.#members[before]) this.#refresh(member);
    if (panic !== "off") for (const member of this.#members[panic]) this.#refresh(member);
    const count = panic === "off" ? 0 : this.#members[panic].size;
    this.#options.telemetry.log(
      panic === "off" ? { event: "panic-over" } : { event: "panic", reason: panic, count },
    );
  }

  /** Makes a new view of the server if it is not what its view says. */
  #refresh(server: Server<V, C>): void {
    if (server.listIndex < 0) return;
    const { known } = server;
    const fits = known !== undefined && (known.serves === undefined || server.rangeEntry !== undefined);
    const healthy = fits && this.#isUsed(server.state, server.place?.standing);
    if (healthy !== server.healthyIndex >= 0)
      this.#setHealthy(server, healthy, reasonsOf(server.state).join(", "));
    const content = server.viewContent;
    if (
      server.view !== undefined &&
      content !== undefined &&
      content.healthy === healthy &&
      content.known === known &&
      content.endpoint === server.endpoint
    )
      return;
    const { endpoint } = server;
    server.viewContent = { server, endpoint, healthy, known };
    server.view = this.#options.makeView(server.viewContent);
    this.#options.onChange();
  }

  #isUsed(state: ServerState, standing: string | undefined): boolean {
    if (standing === "well") return true;
    if (this.#panic === "off" || standing !== this.#panic) return false;
    return !denies(state);
  }

  #setHealthy(server: Server<V, C>, healthy: boolean, reason: string): void {
    const { telemetry, nowMs, slowStartMs } = this.#options;
    server.healthSinceMs = nowMs();
    if (healthy) {
      server.healthyIndex = this.#healthy.push(server) - 1;
      server.ramp = enter(server.ramp, nowMs(), { slowStartMs, reconnected: server.reconnected });
      server.reconnected = false;
    } else {
      removeAt(this.#healthy, "healthyIndex", server);
      server.ramp = leave(server.ramp, nowMs());
    }
    const to = healthy ? "healthy" : "unhealthy";
    telemetry.metric(({ transitions }) => transitions?.inc({ to }));
    telemetry.log({ event: to, endpoint: server.key, ...(reason === "" ? {} : { reason }) });
  }

  #setRange(server: Server<V, C>): void {
    const known = server.listIndex < 0 ? undefined : server.known;
    const entry = server.rangeEntry as RangeEntry<unknown, Server<V, C>> | undefined; // only written below
    if (entry !== undefined) {
      this.#index?.delete(entry);
      server.rangeEntry = undefined;
    }
    // What it said may be of a space that the others do not use.
    if (known?.serves === undefined || known.space !== this.#index?.space) return;
    server.rangeEntry = this.#index?.add(known.serves, server);
  }

  #setVote(server: Server<V, C>, space: Space<unknown> | undefined): void {
    if (space === server.vote) return;
    this.#vote.move(server.vote, space);
    server.vote = space;
    const elected = this.#options.space ?? this.#vote.elected;
    if (elected === this.#index?.space) return;
    this.#index = elected && new RangeIndex(elected);
    for (const each of this.#list) {
      each.rangeEntry = undefined;
      this.#setRange(each);
      this.#refresh(each);
    }
  }

  #visit(server: Server<V, C>): void {
    if (server.healthyIndex >= 0) this.#visiting?.(this.viewOf(server));
  }
}

function placeOf(state: ServerState): Place {
  return { standing: standingOf(state), ejected: state.outlier.ejected, damped: state.penalty.suppressed };
}

function samePlace(a: Place | undefined, b: Place | undefined): boolean {
  return a?.standing === b?.standing && a?.ejected === b?.ejected && a?.damped === b?.damped;
}

function providesAll<V extends ServerInfo, C>(server: Server<V, C>, features: readonly string[]): boolean {
  for (const feature of features) if (server.known?.features.has(feature) !== true) return false;
  return true;
}

/** Takes a server out of an unordered list that it knows its place in: the last one takes that. */
function removeAt<V extends ServerInfo, C>(
  list: Server<V, C>[],
  index: "listIndex" | "healthyIndex",
  server: Server<V, C>,
): void {
  const last = list.pop();
  if (last !== undefined && last !== server) {
    list[server[index]] = last;
    last[index] = server[index];
  }
  server[index] = -1;
}
