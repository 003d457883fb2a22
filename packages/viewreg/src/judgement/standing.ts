import { denies, isWell, type ServerState } from "./server-state.js";

/**
 * What a server's state means for its use.
 *
 * - `well`: used.
 * - `usable`: out because it answers badly, is damped or ejected, or is on its way back. Used in a panic.
 * - `silent`: out because it does not answer.
 * - `out`: says itself that it does not serve, or was never known to be well.
 * - `unjudged`: not connected, or has not answered on this connection yet. Does not count.
 */
export type Standing = "well" | "usable" | "silent" | "out" | "unjudged";

export function standingOf(state: ServerState): Standing {
  if (state.connection !== "ready") return "unjudged";
  if (state.silent) return "silent";
  if (denies(state)) return "out";
  if (state.verdict === "unwell") return state.known ? "usable" : "out";
  if (!isWell(state)) return "unjudged";
  return state.penalty.suppressed || state.outlier.ejected ? "usable" : "well";
}

/**
 * What is held against a server.
 *
 * - `connecting`, `disconnected`: there is no connection, not yet or not any more.
 * - `not-serving`: it says so itself.
 * - `silent`: it does not answer.
 * - `unproven`: it has not answered well on this connection yet.
 * - `bad-answers`, `recovering`: too many of them, and not enough good ones since.
 * - `damped`: it falls too often. `ejected`: calls to it fail.
 */
export type Reason =
  | "connecting"
  | "disconnected"
  | "not-serving"
  | "silent"
  | "unproven"
  | "bad-answers"
  | "recovering"
  | "damped"
  | "ejected";

/** Why a server is not used, or what is held against it; empty when nothing is. The most important first. */
export function reasonsOf(state: ServerState): readonly Reason[] {
  const reasons: Reason[] = [];
  if (state.connection === "connecting") reasons.push("connecting");
  if (state.connection === "failed") reasons.push("disconnected");
  if (state.connection === "ready") {
    if (denies(state)) reasons.push("not-serving");
    if (state.silent) reasons.push("silent");
    else if (state.verdict === "new" || state.verdict === "returning") reasons.push("unproven");
    else if (state.verdict === "unwell" && !denies(state))
      reasons.push(state.bad > 0 ? "bad-answers" : "recovering");
  }
  if (state.penalty.suppressed) reasons.push("damped");
  if (state.outlier.ejected) reasons.push("ejected");
  return reasons;
}
