/** One run of the whole topic system from a seed: start, load, faults, quiet, and a look at what is left. */
import { parseMessageId } from "@x/topic-gateway/protocol";
import { checkHistory, HistoryRecorder, readContents, type Violation } from "../checker/index.js";
import { startOf, Timeline } from "../checker/timeline.js";
import { Faults } from "./faults.js";
import { type Plan, planOf } from "./plan.js";
import { bufferProgram, coordProgram, type Mutation, openStores, type Setting } from "./programs.js";
import { SimulationError } from "./scheduler.js";
import { consumerProgram, producerProgram, readStamp, setupProgram, subscriptionNames } from "./workload.js";
import { World } from "./world.js";

export interface SimulateOptions {
  readonly seed: number;
  readonly mutation?: Mutation;
  /** Laid over what the seed planned. */
  readonly plan?: Partial<Plan>;
  readonly onTrace?: (line: string) => void;
}

export interface SimulationResult {
  readonly seed: number;
  readonly plan: Plan;
  readonly violations: readonly Violation[];
  /** Errors that ended a program. */
  readonly failures: readonly { readonly process: string; readonly error: unknown }[];
  readonly traceHash: string;
  readonly events: number;
  readonly simulatedMs: number;
  readonly counts: {
    readonly published: number;
    readonly acknowledged: number;
    readonly delivered: number;
    readonly segments: number;
    readonly archived: number;
    readonly revisions: number;
  };
}

/** As the promise says. */
const LIVENESS_MS = 60_000;
const LOOK_EVERY_MS = 500;

export async function simulate(options: SimulateOptions): Promise<SimulationResult> {
  const world = new World(options);
  const { scheduler } = world;
  const plan = { ...planOf(world.random.fork("plan")), ...options.plan };
  const recorder = new HistoryRecorder(() => scheduler.nowMs);
  const setting: Setting = {
    world,
    plan,
    recorder,
    mutation: options.mutation ?? {},
    note: (line) => scheduler.trace(line),
  };
  addNodes(setting);
  for (const node of world.nodes.values()) node.start();
  const faults = new Faults(world, plan);
  faults.start();
  await scheduler.run({ until: () => faults.isOver });
  recorder.faultsEnded();
  await waitForQuiet(setting);

  checkRevisions(recorder);
  // Whatever was acknowledged must be on the disks by now.
  for (const host of hostsOf(world)) world.powerCut(host);
  const { logs, archive } = await finish(
    world,
    openStores(world.disk("host").mount(), world.random.fork("truth")),
  );
  const contents = await finish(world, readContents(recorder.revisions, { logs, archive, readStamp }));
  const violations = checkHistory(recorder.history(contents));
  const timeline = new Timeline(recorder.revisions);
  return {
    seed: options.seed,
    plan,
    violations,
    failures: world.failures,
    traceHash: scheduler.traceHash,
    events: scheduler.events,
    simulatedMs: scheduler.nowMs,
    counts: {
      published: recorder.publishes.length,
      acknowledged: recorder.publishes.filter(({ outcome }) => outcome === "acked").length,
      delivered: recorder.deliveries.length,
      segments: timeline.segments.size,
      archived: [...timeline.segments.values()].filter(({ last }) => last.state === "archived").length,
      revisions: recorder.revisions.length,
    },
  };
}

function addNodes(setting: Setting): void {
  const { world, plan } = setting;
  world.addNode("coord", plan.coordApart ? "coord-host" : "host", coordProgram(setting));
  for (let i = 1; i <= plan.buffers; i++) {
    world.addNode(`buffer-${i}`, "host", bufferProgram(setting, `b${i}`, `buffer-${i}:7000`));
  }
  world.addNode("setup", "host", setupProgram(setting));
  for (let i = 1; i <= plan.producerNodes; i++) {
    world.addNode(`producer-${i}`, "host", producerProgram(setting));
  }
  for (let i = 1; i <= plan.consumerNodes; i++) {
    world.addNode(`consumer-${i}`, "host", consumerProgram(setting));
  }
}

function hostsOf(world: World): Set<string> {
  return new Set([...world.nodes.values()].map(({ host }) => host));
}

/** Until everything that was acknowledged has arrived and is committed, or the time for that is over. */
async function waitForQuiet({ world, plan, recorder }: Setting): Promise<void> {
  const { scheduler } = world;
  let isQuiet = false;
  const look = (): void => {
    isQuiet = isSettled(recorder);
    if (!isQuiet) scheduler.after(LOOK_EVERY_MS, "the observer looks", look);
  };
  // Publishing must have ended, and the last publish must have been answered.
  scheduler.after(4000, "the observer looks", look);
  const deadlineMs = plan.faultsUntilMs + LIVENESS_MS + 4000;
  await scheduler.run({ until: () => isQuiet, deadlineMs });
}

function isSettled(recorder: HistoryRecorder): boolean {
  const acked = recorder.publishes.flatMap(({ outcome, id }) => (outcome === "acked" && id ? [id] : []));
  const arrived = new Set<string>();
  for (const { subscription, id } of recorder.deliveries) {
    if (subscription === subscriptionNames.earliest) arrived.add(id);
  }
  // Cheap, and false most of the time.
  if (acked.some((id) => !arrived.has(id))) return false;
  const timeline = new Timeline(recorder.revisions);
  const segments = [...timeline.segments.values()];
  return [...timeline.subscriptions.values()].every(({ versions, bookmarks }) => {
    const record = versions.at(-1)?.value;
    if (!record) return true;
    return acked.every((id) => {
      const { time, sequence, rangeFrom } = parseMessageId(id);
      const segment = segments.findLast(
        ({ id: { range, startTime } }) => range.from === rangeFrom && startTime <= time,
      );
      const start = segment && startOf(record, segment);
      if (!segment || start === undefined || sequence <= start) return true;
      return (bookmarks.get(segment.name)?.at(-1)?.value?.sequence ?? 0) >= sequence;
    });
  });
}

/** The store makes them one by one, so that one that is missing was missed: nothing could be said of such a history. */
function checkRevisions({ revisions }: HistoryRecorder): void {
  for (const [index, { revision }] of revisions.entries()) {
    const before = revisions[index - 1]?.revision;
    if (before !== undefined && revision !== before + 1n) {
      throw new SimulationError(`the observer saw revision ${revision} right behind ${before}`);
    }
  }
}

/** Runs the world until a promise of the observer's is settled. */
async function finish<T>(world: World, work: Promise<T>): Promise<T> {
  let isDone = false;
  const settled = (): void => {
    isDone = true;
  };
  work.then(settled, settled);
  await world.scheduler.run({ until: () => isDone });
  return await work;
}
