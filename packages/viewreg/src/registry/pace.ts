import type { JudgementContext } from "../judgement/server-state.js";
import type { JudgementSettings, ProbingSettings } from "../judgement/settings.js";
import { type SilenceLimits, zOf } from "../judgement/silence.js";

/** How often servers are probed and how long they may be silent, by how many are connected: the cap on probes is for all of them. */
export class Pace {
  readonly #probing: ProbingSettings;
  #connected = 0;
  #context: JudgementContext;

  constructor(probing: ProbingSettings, settings: JudgementSettings) {
    this.#probing = probing;
    const { phi, maxSilenceMs } = settings;
    this.#context = { settings, limits: { z: zOf(phi), intervalMs: probing.intervalMs, maxSilenceMs } };
  }

  get connected(): number {
    return this.#connected;
  }

  get limits(): SilenceLimits {
    return this.#context.limits;
  }

  get context(): JudgementContext {
    return this.#context;
  }

  set connected(count: number) {
    this.#connected = count;
    const { intervalMs: askedMs, maxProbesPerSecond } = this.#probing;
    const { settings, limits } = this.#context;
    const intervalMs = Math.max(askedMs, (count * 1000) / maxProbesPerSecond);
    if (intervalMs === limits.intervalMs) return;
    // As much longer as the intervals are: still one interval and one time-out, and what was between.
    const maxSilenceMs = settings.maxSilenceMs + intervalMs - askedMs;
    this.#context = { settings, limits: { ...limits, intervalMs, maxSilenceMs } };
  }

  get probesPerSecond(): number {
    const { intervalMs, jitter, maxProbesPerSecond } = this.#probing;
    return Math.min(maxProbesPerSecond, (this.#connected * 1000) / (intervalMs * (1 - jitter / 2)));
  }
}
