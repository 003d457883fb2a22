import { locateViews } from "../plan/locate-views.js";
import type { Views } from "../views.js";
import { type Server, serverOf } from "./servers.js";
import type { Call, SchedulerState } from "./state.js";

/** What a call knows of its views. */
export type Located<P, V> = Pick<Call<P, V>, "located" | "servers" | "nearness" | "localities">;

/** @throws FanoutError "invalid-argument" for views that are none; nothing has changed then */
export function locate<P, V>(
  state: SchedulerState<P, V>,
  points: Call<P, V>["points"],
  views: Views<V>,
): Located<P, V> {
  const located = locateViews(points, views);
  const servers = located.views.map((view) => serverOf(state, view));
  return { located, servers, ...nearnessOf(located.views.map(state.setup.locality)) };
}

/** Localities as places in their order, so that any numbers will do. */
function nearnessOf(
  localities: readonly number[],
): Pick<Located<unknown, unknown>, "nearness" | "localities"> {
  const first = localities[0];
  if (localities.every((locality) => locality === first)) return { nearness: undefined, localities: 1 };
  const order = [...new Set(localities)].sort((a, b) => (a < b ? -1 : 1));
  const places = new Map(order.map((locality, place) => [locality, place]));
  return {
    nearness: Float64Array.from(localities, (locality) => places.get(locality)!),
    localities: order.length,
  };
}

/** The server of a located view, also when it was forgotten in the meantime. */
export function serverAt<P, V>(state: SchedulerState<P, V>, call: Call<P, V>, view: number): Server<P, V> {
  let server = call.servers[view]!;
  if (server.forgotten) {
    server = serverOf(state, call.located.views[view]!);
    call.servers[view] = server;
  }
  return server;
}
