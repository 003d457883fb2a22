/** The programs of a simulated topic system: the real components, given a simulated machine. */

import type { Coord } from "@x/coord";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { openBuffer } from "@x/topic-buffer";
import { type LogFileSystem, openLocalArchive, openLocalSegmentLog } from "@x/topic-buffer/local";
import { TopicClient } from "@x/topic-gateway/client";
import type { SegmentArchive, SegmentLogStore } from "@x/topic-gateway/protocol";
import type { HistoryRecorder } from "../checker/index.js";
import { SimBuffer, serveBuffer } from "./buffer-service.js";
import { SimCoord, serveCoord } from "./coord-service.js";
import type { Environment, Program } from "./node.js";
import type { Plan } from "./plan.js";
import type { World } from "./world.js";

export const coordAddress = "coord:2379";

/** Breaks a promise of the system on purpose, to see that it is found. Only wrappers around ports. */
export interface Mutation {
  readonly logs?: (logs: SegmentLogStore) => SegmentLogStore;
  readonly logFiles?: (files: LogFileSystem) => LogFileSystem;
  readonly coord?: (coord: Coord) => Coord;
}

export interface Setting {
  readonly world: World;
  readonly plan: Plan;
  readonly recorder: HistoryRecorder;
  readonly mutation: Mutation;
  /** Told what the components say of themselves. */
  readonly note: (line: string) => void;
}

/** Small, so that what is prepared ahead runs out all the time. */
const PREALLOCATE_BYTES = 4096;

export function coordProgram({ world, recorder, plan }: Setting): Program {
  return async ({ process, fileSystem, terminated }) => {
    const store = await openEmbeddedCoord({
      directory: "/coord",
      clock: process.clock,
      fileSystem,
      randomBytes: (count) => process.random.bytes(count),
      historyRevisions: plan.historyRevisions,
      // Small, so that it is rotated now and then.
      walBytes: 60_000,
    });
    // Where revisions become visible, and without any delay: this is the observer's eye, not a part of the system.
    const observing = (async () => {
      for await (const batch of store.watch({ prefix: "/" }, { fromRevision: recorder.revision + 1n })) {
        recorder.observe(batch);
      }
    })().catch(() => undefined);
    world.network.listen(process, coordAddress, serveCoord(store));
    await new Promise<void>((resolve, reject) => {
      store.failure.addEventListener("abort", () => reject(store.failure.reason));
      terminated.addEventListener("abort", () => store.close().then(resolve, reject));
    });
    await observing;
  };
}

export async function openStores(
  fileSystem: LogFileSystem,
  random: { bytes(count: number): Uint8Array },
  mutation: Mutation = {},
): Promise<{ readonly logs: SegmentLogStore; readonly archive: SegmentArchive }> {
  const files = mutation.logFiles?.(fileSystem) ?? fileSystem;
  const own = await openLocalSegmentLog({
    directory: "/logs",
    fileSystem: files,
    random,
    preallocateBytes: PREALLOCATE_BYTES,
  });
  const archive = await openLocalArchive({ directory: "/archive", fileSystem, random });
  return { logs: mutation.logs?.(own) ?? own, archive };
}

export function bufferProgram(setting: Setting, id: string, address: string): Program {
  const { world, plan, mutation, note } = setting;
  return async (environment) => {
    const { process, fileSystem, terminated } = environment;
    const { logs, archive } = await openStores(fileSystem, process.random, mutation);
    const coord = coordOf(setting, environment);
    const buffer = await untilOpen(environment, () =>
      openBuffer({
        id,
        address,
        coord,
        logs,
        archive,
        runtime: process,
        leaseTtlMs: plan.leaseTtlMs,
        segmentMaxBytes: plan.segmentMaxBytes,
        segmentMaxAgeMs: plan.segmentMaxAgeMs,
        // Too little for all, so that logs are read as well.
        hotBytes: 20_000,
        groupMaxBytes: 4096,
        graceMs: 300,
        readersGraceMs: 3000,
        onEvent: (event) => note(`${process.id} ${describeEvent(event)}`),
      }),
    );
    world.network.listen(process, address, serveBuffer(buffer));
    await new Promise<void>((resolve, reject) => {
      if (terminated.aborted) buffer.close().then(resolve, reject);
      terminated.addEventListener("abort", () => buffer.close().then(resolve, reject));
    });
  };
}

/** A client of the system in this process. */
export async function openClient(setting: Setting, environment: Environment): Promise<TopicClient> {
  const { process, fileSystem } = environment;
  const { world, plan, note } = setting;
  const archive = await openLocalArchive({ directory: "/archive", fileSystem, random: process.random });
  return await untilOpen(environment, () =>
    TopicClient.open({
      coord: coordOf(setting, environment),
      connect: (address) => new SimBuffer(world.network, process, address),
      archive,
      appendRetry: { deadlineMs: plan.appendDeadlineMs },
      runtime: process,
      onEvent: (event) => note(`${process.id} ${describeEvent(event)}`),
    }),
  );
}

/** The coordination store as a process reaches it. */
export function coordOf({ world, mutation }: Setting, { process }: Environment): Coord {
  const coord = new SimCoord(world.network, process, coordAddress);
  return mutation.coord?.(coord) ?? coord;
}

/** While the store can't be reached, as a program's supervisor would, only sooner. */
async function untilOpen<T>({ process }: Environment, open: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "unavailable")) throw error;
    }
    await new Promise<void>((resolve) => process.clock.setTimer(200, resolve));
  }
}

export function describeEvent(event: object): string {
  return JSON.stringify(event, (_, value: unknown) => {
    if (typeof value === "bigint") return String(value);
    if (!(value instanceof Error)) return value;
    const code = "code" in value ? `${value.code}: ` : "";
    return `${code}${value.message}${value.cause instanceof Error ? ` <- ${value.cause.message}` : ""}`;
  });
}
