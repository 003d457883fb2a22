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
    const turnMs = (count * 1000) / maxProbesPerSecond;
    const intervalMs = Math.max(askedMs, turnMs);
    if (intervalMs === limits.intervalMs) return;
    // At worst, as after many servers have come at once, a probe that is due waits for one whole turn.
    const maxSilenceMs = settings.maxSilenceMs + Math.max(0, Math.min(turnMs, 2 * (turnMs - askedMs)));
    this.#context = { settings, limits: { ...limits, intervalMs, maxSilenceMs } };
  }

  get probesPerSecond(): number {
    const { intervalMs, jitter, maxProbesPerSecond } = this.#probing;
    return Math.min(maxProbesPerSecond, (this.#connected * 1000) / (intervalMs * (1 - jitter / 2)));
  }
}
