/** The buffers that are recorded, found and judged by a registry of `@x/viewreg`: who of them answers, and what is held against whom. */
import { type ChannelCredentials, type ChannelOptions, credentials } from "@grpc/grpc-js";
import type { Coord, KeyValue } from "@x/coord";
import {
  type Endpoint,
  type GrpcRegistry,
  type Judgement,
  openGrpcRegistry,
  type Probing,
  parseEndpoint,
  type Reason,
  type RegistryLog,
  type RegistryMetrics,
  type RegistrySummary,
  type ServerJudgement,
} from "@x/viewreg";
import { etcdLocator, type SkippedKey } from "@x/viewreg/etcd";
import type { BufferHealth } from "../protocol/buffer-health.js";
import { prefixes } from "../protocol/keys.js";
import { decodeBuffer } from "../protocol/records.js";
import type { Runtime } from "../protocol/runtime.js";
import { systemRuntime } from "../system.js";

export interface BufferRegistryOptions {
  /** Where buffers are recorded. It stays the caller's. */
  readonly coord: Coord;
  /** Default: insecure, as `grpcBuffers()` is. */
  readonly credentials?: ChannelCredentials;
  /** Laid over the registry's own, for its connections alone: messages do not travel over them. */
  readonly channelOptions?: ChannelOptions;
  readonly probing?: Probing;
  readonly judgement?: Judgement;
  readonly log?: RegistryLog;
  readonly metrics?: RegistryMetrics;
  /** Told each record under the buffers' prefix that is none, once for each of its changes. */
  readonly onSkipped?: (skipped: SkippedKey) => void;
  /** Default: the process's clock and random numbers. */
  readonly runtime?: Runtime;
}

/** One for each process. Give it to `TopicClient.open` as `health`. It has connections and timers: dispose of it, after the client. */
export interface BufferRegistry extends BufferHealth, AsyncDisposable {
  /** What is thought of the buffer at this address, and why; undefined when none is recorded there. */
  judge(address: string): ServerJudgement | undefined;
  summary(): RegistrySummary;
  /** The registry itself, to wait for changes and to look at all views. An endpoint's label `buffer` is the buffer's id. */
  readonly registry: GrpcRegistry<Record<never, never>>;
}

/**
 * Looks for buffers in the records and asks each by `grpc.health.v1` how it is. Returns at once; nothing is known yet.
 * @throws RegistryError "invalid-argument"
 */
export function openBufferRegistry(options: BufferRegistryOptions): BufferRegistry {
  const {
    coord,
    runtime = systemRuntime,
    onSkipped,
    channelOptions,
    probing,
    judgement,
    log,
    metrics,
  } = options;
  const { clock, random } = runtime;
  const registry = openGrpcRegistry({
    locator: etcdLocator({
      coord,
      prefix: prefixes.buffers,
      decode: endpointOf,
      clock,
      ...(onSkipped && { onSkipped }),
    }),
    credentials: options.credentials ?? credentials.createInsecure(),
    clock,
    random: () => random.number(),
    ...(channelOptions && { channelOptions }),
    ...(probing && { probing }),
    ...(judgement && { judgement }),
    ...(log && { log }),
    ...(metrics && { metrics }),
  });
  const judge = (address: string): ServerJudgement | undefined => {
    const endpoint = toEndpoint(address);
    return endpoint && registry.inspect(endpoint);
  };
  return {
    registry,
    judge,
    unwell: (address) => whyUnwell(judge(address)),
    report(address, outcome) {
      const endpoint = toEndpoint(address);
      if (endpoint) registry.find(endpoint)?.report(outcome);
    },
    summary: () => registry.summary(),
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

/** @throws TopicError "corrupt", RegistryError "invalid-endpoint" */
function endpointOf({ key, value }: KeyValue): Endpoint {
  const id = key.slice(prefixes.buffers.length);
  return { ...parseEndpoint(decodeBuffer(value).address), labels: { buffer: id } };
}

function toEndpoint(address: string): Endpoint | undefined {
  try {
    return parseEndpoint(address);
  } catch {
    return undefined;
  }
}

/** Who does not answer. Whoever answers badly, or says that it is going, is still the only one who has what it has. */
const NO_ANSWER: ReadonlySet<Reason> = new Set(["silent", "disconnected"]);

function whyUnwell(judgement: ServerJudgement | undefined): string | undefined {
  // One that never answered may be new, or out of the registry's reach alone.
  if (!judgement || judgement.healthy || judgement.answeredAgoMs === undefined) return undefined;
  const reason = judgement.reasons.find((one) => NO_ANSWER.has(one));
  return reason && `${reason}; it last answered ${(judgement.answeredAgoMs / 1000).toFixed(1)} s ago`;
}
