import type { Verdict } from "../errors.js";
import { carriedByAtMost, failRanks, markDelivered, openRanks } from "./points.js";
import { startReading } from "./reading.js";
import { isTimed, retire } from "./send.js";
import { observe, type Server, strike } from "./servers.js";
import { type Request, type SchedulerState, tell } from "./state.js";
import { pauseBefore, release, wait } from "./waiting.js";

/** Longer ones are cut: no server may ask a call without a deadline to wait for ever. */
const longestPushbackMs = 60_000;

/** A live request has failed. Its points go on with the requests beside it that carry them; the others are sent again, or have failed. */
export function fail<P, V>(
  state: SchedulerState<P, V>,
  request: Request<P, V>,
  {
    error,
    verdict,
    timedOut = false,
  }: { readonly error: unknown; readonly verdict: Verdict; readonly timedOut?: boolean },
): void {
  const { id, call, view, server, attempt } = request;
  const { options } = call;
  tell(state, {
    type: "fail",
    atMs: state.nowMs,
    call: call.id,
    request: id,
    view,
    class: verdict.class,
    error,
  });
  call.causes.push({ cause: { view, class: verdict.class, error }, ranks: request.ranks });
  blame(state, request, verdict, timedOut);
  markDelivered(request);
  const others = [...request.beside];
  const stranded = carriedByAtMost(openRanks(request), others, 0);
  retire(state, request);

  const isBanned = verdict.class === "not-mine" && !options.viewsCanBeRead;
  for (const other of others) {
    other.tried = added(other.tried, server);
    if (isBanned) other.banned = [...other.banned, view];
  }
  if (stranded.length === 0) return;
  if (verdict.class === "not-retryable") {
    failRanks(state, call, stranded, "not-retryable");
    return;
  }
  if (attempt >= options.retry.maxAttempts) {
    failRanks(state, call, stranded, "attempts");
    return;
  }
  const unreachable = verdict.class === "unreachable";
  const isRefused = verdict.class === "not-mine" && options.viewsCanBeRead;
  const waiting = wait<P, V>({
    call,
    ranks: stranded,
    attempt,
    tried: added(request.tried, server),
    banned: isBanned ? [...request.banned, view] : request.banned,
    refusal: isRefused ? { server, located: call.located, servers: call.servers } : undefined,
    moves: request.moves,
    unreachable,
    // Nobody has worked on a request that did not arrive, so there is nobody to spare.
    notBeforeMs: unreachable && attempt === 1 ? state.nowMs : state.nowMs + pauseBefore(state, call, attempt),
  });
  if (isRefused) startReading(state, waiting);
  release(state, waiting);
}

function added<P, V>(servers: readonly Server<P, V>[], server: Server<P, V>): readonly Server<P, V>[] {
  return servers.includes(server) ? servers : [...servers, server];
}

/** What the failure says about the server. */
function blame<P, V>(
  state: SchedulerState<P, V>,
  request: Request<P, V>,
  verdict: Verdict,
  timedOut: boolean,
): void {
  const { server, sentAtMs, trial } = request;
  const pushbackMs = Math.min(longestPushbackMs, verdict.pushbackMs ?? 0);
  if (pushbackMs > 0) server.pushbackUntilMs = Math.max(server.pushbackUntilMs, state.nowMs + pushbackMs);
  const works = verdict.class === "not-retryable" || verdict.class === "not-mine";
  if (timedOut || verdict.class === "unreachable" || (trial && !works)) strike(state, server, sentAtMs);
  else if (trial) server.strikes = 0;
  if (timedOut && isTimed(request)) observe(server, state.nowMs - sentAtMs, state.nowMs, true);
}
