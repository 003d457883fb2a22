import { trace } from "@opentelemetry/api";
import { createFanout } from "../src/index.js";
import { traceFanout } from "../src/opentelemetry.js";

export const fanout = createFanout({ onEvent: traceFanout(trace.getTracer("lookup")) });
