import { RegistryError } from "../errors.js";
import type { Judgement, Probing } from "../registry/contract.js";
import { describe } from "../text.js";

/** `Probing` with everything filled in and checked. */
export interface ProbingSettings {
  readonly intervalMs: number;
  readonly jitter: number;
  readonly timeoutMs: number;
  readonly maxProbesPerSecond: number;
}

export interface DampingSettings {
  readonly suppress: number;
  readonly reuse: number;
  readonly halfLifeMs: number;
  readonly maxMs: number;
}

export interface OutlierSettings {
  readonly consecutiveFailures: number;
  readonly ejectMs: number;
  readonly maxEjectedShare: number;
}

/** `Judgement` with everything filled in and checked. */
export interface JudgementSettings {
  readonly rise: number;
  readonly fall: number;
  readonly phi: number;
  readonly maxSilenceMs: number;
  readonly panicThreshold: number;
  readonly damping: DampingSettings | false;
  readonly outlier: OutlierSettings | false;
}

/** @throws RegistryError "invalid-argument" */
export function resolveProbing(probing: Probing = {}): ProbingSettings {
  const at = "probing.";
  return {
    intervalMs: within(probing.intervalMs, 250, `${at}intervalMs`, 1, 86_400_000),
    jitter: within(probing.jitter, 0.2, `${at}jitter`, 0, 1),
    timeoutMs: within(probing.timeoutMs, 500, `${at}timeoutMs`, 1, 86_400_000),
    maxProbesPerSecond: within(probing.maxProbesPerSecond, 1000, `${at}maxProbesPerSecond`, 0.001, 1_000_000),
  };
}

/**
 * The default of `maxSilenceMs` is one interval and one timeout, so that an answer that is in time is never too late, and 50 ms for
 * what lies between; a server may well be asked less often than once a second, so it follows the probing. With the defaults there it
 * is 800, and 200 ms are left of the second in which a server that stopped must be out.
 *
 * @throws RegistryError "invalid-argument"
 */
export function resolveJudgement(probing: ProbingSettings, judgement: Judgement = {}): JudgementSettings {
  const at = "judgement.";
  const { damping = {}, outlier = {} } = judgement;
  const settings: JudgementSettings = {
    rise: whole(judgement.rise, 2, `${at}rise`),
    fall: whole(judgement.fall, 3, `${at}fall`),
    phi: within(judgement.phi, 8, `${at}phi`, 0.5, 15),
    maxSilenceMs: within(
      judgement.maxSilenceMs,
      probing.intervalMs + probing.timeoutMs + 50,
      `${at}maxSilenceMs`,
      1,
      Number.MAX_SAFE_INTEGER,
    ),
    panicThreshold: within(judgement.panicThreshold, 0.1, `${at}panicThreshold`, 0, 1),
    damping: damping !== false && resolveDamping(damping),
    outlier: outlier !== false && {
      consecutiveFailures: whole(outlier.consecutiveFailures, 5, `${at}outlier.consecutiveFailures`),
      ejectMs: within(outlier.ejectMs, 5_000, `${at}outlier.ejectMs`, 1, 86_400_000),
      maxEjectedShare: within(outlier.maxEjectedShare, 0.2, `${at}outlier.maxEjectedShare`, 0, 1),
    },
  };
  if (settings.maxSilenceMs <= probing.intervalMs)
    throw new RegistryError(
      "invalid-argument",
      `judgement.maxSilenceMs is ${settings.maxSilenceMs}, and must be more than probing.intervalMs, ${probing.intervalMs}: between two probes every server is silent`,
    );
  return settings;
}

function resolveDamping(damping: Exclude<Judgement["damping"], false | undefined>): DampingSettings {
  const at = "judgement.damping.";
  const halfLifeMs = within(damping.halfLifeMs, 15_000, `${at}halfLifeMs`, 1, 86_400_000);
  const suppress = within(damping.suppress, 2, `${at}suppress`, 0.01, 1_000_000);
  const reuse = within(damping.reuse, 0.375 * suppress, `${at}reuse`, 0.001, 1_000_000);
  if (reuse >= suppress)
    throw new RegistryError(
      "invalid-argument",
      `judgement.damping.reuse is ${reuse}, and must be less than suppress, ${suppress}: a server that is held down must have something to wait for`,
    );
  return {
    suppress,
    reuse,
    halfLifeMs,
    maxMs: within(damping.maxMs, 4 * halfLifeMs, `${at}maxMs`, 1, 86_400_000_000),
  };
}

/** An optional number of the options. @throws RegistryError "invalid-argument" */
export function within(value: unknown, byDefault: number, name: string, least: number, most: number): number {
  if (value === undefined) return byDefault;
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw new RegistryError(
    "invalid-argument",
    `The option ${name} is ${describe(value)}, and must be a number from ${least} to ${most}`,
  );
}

function whole(value: unknown, byDefault: number, name: string): number {
  const number = within(value, byDefault, name, 1, 1_000_000);
  if (Number.isInteger(number)) return number;
  throw new RegistryError("invalid-argument", `The option ${name} is ${number}, and must be a whole number`);
}
