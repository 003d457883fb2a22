/** Which brokers a call may go to, best first: pure, so that each rule has a test. */
import type { Route } from "../protocol/header.js";

/** A member of a route that can be called. */
export interface Member {
  readonly zone: string;
  readonly endpoint: string;
}

/** What is known of a connection. One that was never made is promising and not ready. */
export interface ConnectionState {
  readonly promising: boolean;
  readonly ready: boolean;
}

/** The members of a route that a call may go to: the primary alone when it is wanted and known, else all. Those without an endpoint are left out. */
export function membersOf(route: Route, primary: boolean): readonly Member[] {
  const members = route.members.flatMap(({ zone }, index) => {
    const endpoint = route.endpoints[index];
    return endpoint === undefined ? [] : [{ zone, endpoint, index }];
  });
  return primary && route.primary >= 0 ? members.filter(({ index }) => index === route.primary) : members;
}

/**
 * Best first: those of the same zone (traffic between zones costs), then those whose connection is ready. Without those whose connection
 * failed: a route may be old, and its members gone. Otherwise in the order given.
 */
export function rankMembers<T extends Member>(
  members: readonly T[],
  zone: string | undefined,
  stateOf: (member: T) => ConnectionState,
): readonly T[] {
  return members
    .map((member) => ({ member, state: stateOf(member), near: member.zone === zone }))
    .filter(({ state }) => state.promising)
    .sort((a, b) => Number(b.near) - Number(a.near) || Number(b.state.ready) - Number(a.state.ready))
    .map(({ member }) => member);
}

/** Best first: those that are ready, those that may become so, and those that failed. Otherwise in the order given. */
export function rankDefaults<T>(
  endpoints: readonly T[],
  stateOf: (endpoint: T) => ConnectionState,
): readonly T[] {
  return endpoints
    .map((endpoint) => ({ endpoint, state: stateOf(endpoint) }))
    .sort(
      (a, b) =>
        Number(b.state.promising) - Number(a.state.promising) ||
        Number(b.state.ready) - Number(a.state.ready),
    )
    .map(({ endpoint }) => endpoint);
}
