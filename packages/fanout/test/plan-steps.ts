import { Session } from "node:inspector";

/** Counts how many blocks of the planner's code (functions, loop bodies, branches) run. */
export interface StepCounter {
  readonly steps: (work: () => void) => number;
  readonly stop: () => void;
}

/**
 * The engine counts, so the code is the one that is shipped. It counts blocks only in what is compiled after it was told to: start
 * the counter first and import the planner then.
 */
export function startCounting(): StepCounter {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  /** What ran since the last time. */
  const take = (): number => {
    let steps = 0;
    session.post("Profiler.takePreciseCoverage", (error, coverage) => {
      if (error) throw error;
      for (const script of coverage.result) {
        if (!/\/fanout\/src\/(?:plan\/|partition\.ts)/.test(script.url)) continue;
        for (const { ranges } of script.functions) for (const { count } of ranges) steps += count;
      }
    });
    return steps;
  };
  return {
    steps: (work) => {
      take();
      work();
      return take();
    },
    stop: () => {
      session.post("Profiler.stopPreciseCoverage");
      session.disconnect();
    },
  };
}
