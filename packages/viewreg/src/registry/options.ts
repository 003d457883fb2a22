import { RegistryError } from "../errors.js";
import {
  type JudgementSettings,
  type ProbingSettings,
  resolveJudgement,
  resolveProbing,
  within,
} from "../judgement/settings.js";
import type { ServerInfo } from "../probe.js";
import { describe } from "../text.js";
import type { RegistryOptions } from "./contract.js";

/** What of the options is numbers, checked and filled in. */
export interface RegistrySettings {
  readonly probing: ProbingSettings;
  readonly judgement: JudgementSettings;
  readonly slowStartMs: number;
  readonly drainMs: number;
}

/** @throws RegistryError "invalid-argument" */
export function checkOptions<V extends ServerInfo, C, F extends string, X>(
  options: RegistryOptions<V, C, F, X>,
): RegistrySettings {
  const given: unknown = options;
  if (typeof given !== "object" || given === null)
    throw new RegistryError("invalid-argument", `options are an object, not ${describe(given)}`);
  mustBeFunction(options.locator?.locate, "locator.locate");
  mustBeFunction(options.connector?.connect, "connector.connect");
  mustBeFunction(options.probe, "probe");
  for (const name of ["listen", "log", "random"] as const)
    if (options[name] !== undefined) mustBeFunction(options[name], name);
  const probing = resolveProbing(options.probing);
  return {
    probing,
    judgement: resolveJudgement(probing, options.judgement),
    slowStartMs: within(options.slowStartMs, 10_000, "slowStartMs", 0, 86_400_000),
    drainMs: within(options.drainMs, 30_000, "drainMs", 0, 86_400_000),
  };
}

function mustBeFunction(value: unknown, name: string): void {
  if (typeof value === "function") return;
  throw new RegistryError("invalid-argument", `The option ${name} is a function, not ${describe(value)}`);
}
