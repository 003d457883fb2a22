import { type Endpoint, formatEndpoint } from "../endpoint.js";
import { reasonsOf } from "../judgement/standing.js";
import type { ServerInfo } from "../probe.js";
import { oneLine } from "../text.js";
import type { ServerJudgement } from "./contract.js";
import type { Server } from "./server.js";

/** What the dump is made of. */
export interface Report<V extends ServerInfo, C> {
  readonly servers: Iterable<Server<V, C>>;
  readonly refused: Iterable<{ readonly endpoint: Endpoint; readonly error: unknown }>;
  readonly locatorError: unknown;
  readonly locatorFailures: number;
  readonly nowMs: number;
}

/** One line for each server, sorted by host, then port; before them one for the locator, if it fails. */
export function dump<V extends ServerInfo, C>(report: Report<V, C>): string {
  const lines: { readonly endpoint: Endpoint; readonly line: string }[] = [];
  for (const server of report.servers)
    lines.push({ endpoint: server.endpoint, line: describeServer(server, report) });
  for (const { endpoint, error } of report.refused)
    lines.push({ endpoint, line: `${formatEndpoint(endpoint)} refused; connector: ${oneLine(error)}` });
  lines.sort((a, b) => compareEndpoints(a.endpoint, b.endpoint));
  const { locatorError, locatorFailures } = report;
  const head =
    locatorFailures === 0 ? [] : [`the locator failed ${locatorFailures} times: ${oneLine(locatorError)}`];
  return [...head, ...lines.map(({ line }) => line)].map((line) => `${line}\n`).join("");
}

export function judgementOf<V extends ServerInfo, C>(server: Server<V, C>, nowMs: number): ServerJudgement {
  const { endpoint, state, problems, probing } = server;
  return {
    endpoint,
    healthy: server.healthyIndex >= 0,
    forMs: nowMs - server.healthSinceMs,
    reasons: reasonsOf(state),
    answeredAgoMs: probing.answeredMs === undefined ? undefined : nowMs - probing.answeredMs,
    lastError: problems.kind === undefined ? undefined : oneLine(problems.error),
  };
}

function compareEndpoints(a: Endpoint, b: Endpoint): number {
  if (a.host !== b.host) return a.host < b.host ? -1 : 1;
  return a.port - b.port;
}

function describeServer<V extends ServerInfo, C>(server: Server<V, C>, { nowMs }: Report<V, C>): string {
  const { state, known, problems, hearingProblems } = server;
  const healthy = server.healthyIndex >= 0;
  const reasons = reasonsOf(state);
  const parts = [`${String(server.view)} ${healthy ? "healthy" : "unhealthy"}`];
  if (reasons.length > 0) parts.push(`${healthy ? "in spite of " : ""}${reasons.join(", ")}`);
  if (known?.serves !== undefined && known.space !== undefined)
    parts.push(`serves ${oneLine(known.space.formatRange(known.serves))}`);
  const { answeredMs } = server.probing;
  parts.push(
    answeredMs === undefined ? "never answered" : `answered ${Math.round(nowMs - answeredMs)} ms ago`,
  );
  if (problems.kind !== undefined) parts.push(`probe: ${problems.kind}: ${oneLine(problems.error)}`);
  if (hearingProblems.kind !== undefined) parts.push(`listen: ${oneLine(hearingProblems.error)}`);
  return parts.join("; ");
}
