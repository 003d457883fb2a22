/** The real clock and the real random numbers: the defaults, and the only file of this package that touches them. */
import { randomBytes } from "node:crypto";
import { systemClock as coordClock } from "@x/coord";
import type { Clock, Random, Runtime } from "./protocol/runtime.js";

const systemClock: Clock = { ...coordClock, wallMs: () => performance.timeOrigin + performance.now() };

const systemRandom: Random = {
  number: () => Math.random(),
  bytes: (count) => randomBytes(count),
};

export const systemRuntime: Runtime = { clock: systemClock, random: systemRandom };
