import type { Coord, KeyValue, Txn } from "@x/coord";
import type { ClientContext } from "../client/context.js";
import { TopicError } from "../errors.js";
import { prefixes, rangeSizeKey, subscriptionKey } from "../protocol/keys.js";
import { parseSubscriptionName, parseTopicName, type TopicName } from "../protocol/names.js";
import { encodeSubscription, type SubscriptionMode, type SubscriptionRecord } from "../protocol/records.js";
import { type SegmentName, segmentName } from "../protocol/segment-id.js";
import { SystemState, type TopicView } from "../topics/state.js";
import { Attempts, isUnavailable } from "./attempts.js";

export interface CreateSubscriptionOptions {
  /** "earliest" (the default): all messages that are stored. "latest": those acknowledged after the call, and perhaps a few more. */
  readonly mode?: SubscriptionMode;
  /** How long to try while the store or an owner of a range does not answer. Default: 10,000. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

const PAGE = 1000;
/** Shorter than for the store: while an owner hangs another one may take over. */
const DESCRIBE_MS = 1000;

/**
 * Creates a subscription. It is there, with its start fixed, when the promise resolves; no bookmark is written.
 *
 * @throws TopicError "invalid-topic-name", "invalid-subscription-name", "invalid-argument" (the mode), "topic-not-found",
 * "subscription-exists"; "unavailable" when the store or, for "latest", the owner of an open segment did not answer in time:
 * in the first case the subscription may be there
 */
export async function createSubscription(
  context: ClientContext,
  topic: string,
  name: string,
  options: CreateSubscriptionOptions = {},
): Promise<void> {
  const { mode = "earliest", deadlineMs = 10_000, signal } = options;
  const topicName = parseTopicName(topic);
  const subscription = parseSubscriptionName(name);
  if (mode !== "earliest" && mode !== "latest") {
    throw new TopicError(
      "invalid-argument",
      `${JSON.stringify(mode)?.slice(0, 64)} is no mode of a subscription: "earliest" or "latest" is allowed`,
    );
  }
  signal?.throwIfAborted();
  const attempts = new Attempts(context, { deadlineMs, signal });
  const key = subscriptionKey(topicName, subscription);
  const topicKey = rangeSizeKey(topicName);
  // What an attempt with an unknown result may have written, and the revision that was the newest before it.
  const written = new Map<string, bigint>();
  for (;;) {
    let sent: { readonly value: string; readonly newest: bigint } | undefined;
    try {
      const { incarnation, newest, record } = await startNow(context, topicName, mode, attempts);
      const value = encodeSubscription(record);
      sent = { value, newest };
      const txn: Txn = {
        compare: [
          { key, target: "create", op: "=", value: 0n },
          { key: topicKey, target: "create", op: "=", value: incarnation },
        ],
        then: [{ type: "put", key, value }],
        else: [
          { type: "get", key },
          { type: "get", key: topicKey },
        ],
      };
      const result = await attempts.ask((options) => context.coord.txn(txn, options));
      if (result.succeeded) return;
      const [there, topicThere] = result.results.map((one) => (one.type === "get" ? one.kvs[0] : undefined));
      if (there) {
        if (isOwn(there, written)) return;
        throw new TopicError(
          "subscription-exists",
          `the topic "${topicName}" has a subscription "${subscription}" already`,
        );
      }
      if (!topicThere) throw notFound(topicName);
      // Deleted and created again in between: its segments are others.
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      if (sent && !written.has(sent.value)) written.set(sent.value, sent.newest);
      await attempts.pause(error);
      continue;
    }
    await attempts.pause();
  }
}

/** As an earlier attempt of this call would have written it, whose answer was lost. */
function isOwn(there: KeyValue, written: ReadonlyMap<string, bigint>): boolean {
  const newest = written.get(Buffer.from(there.value).toString("utf8"));
  return newest !== undefined && there.createRevision > newest;
}

interface Start {
  readonly incarnation: bigint;
  /** The store's newest revision at the time. */
  readonly newest: bigint;
  readonly record: SubscriptionRecord;
}

async function startNow(
  context: ClientContext,
  topic: TopicName,
  mode: SubscriptionMode,
  attempts: Attempts,
): Promise<Start> {
  const key = rangeSizeKey(topic);
  const { revision, kvs } = await attempts.ask((options) => context.coord.get({ key }, options));
  const incarnation = kvs[0]?.createRevision;
  if (incarnation === undefined) throw notFound(topic);
  const record = { mode, revision: 0n, positions: {}, generation: 1 };
  if (mode === "earliest") return { incarnation, newest: revision, record };
  // Never from the cache: a segment that it has not heard of yet would count as created later, and be read from its first message.
  const view = await topicAt(context.coord, topic, revision, attempts);
  const positions = await openPositions(context, view, incarnation, attempts);
  return { incarnation, newest: revision, record: { ...record, revision, positions } };
}

/** The topic's segments and their servers, all as of one revision. */
async function topicAt(
  coord: Coord,
  topic: TopicName,
  revision: bigint,
  attempts: Attempts,
): Promise<TopicView | undefined> {
  const state = new SystemState();
  for (const prefix of [`${prefixes.segments}${topic}/`, `${prefixes.servers}${topic}/`]) {
    // "0" is the character behind "/".
    const to = `${prefix.slice(0, -1)}0`;
    let from = prefix;
    for (let more = true; more; ) {
      const range = { from, to };
      const page = await attempts.ask((options) => coord.get(range, { revision, limit: PAGE, ...options }));
      state.apply({ revision, snapshot: true, events: page.kvs.map((kv) => ({ type: "put", kv })) });
      more = page.more;
      const last = page.kvs.at(-1);
      if (last) from = `${last.key}\0`;
    }
  }
  return state.topics.get(topic);
}

/**
 * How far each segment was that was open at the snapshot's revision. What its owner shows is durable and was fenced, so it is
 * at or below the segment's end, also when the segment has been sealed or taken over since: then the rest of it, and all of
 * its successors, which were created later than the snapshot, are read.
 */
async function openPositions(
  context: ClientContext,
  topic: TopicView | undefined,
  incarnation: bigint,
  attempts: Attempts,
): Promise<Record<string, number>> {
  const byAddress = new Map<string, SegmentName[]>();
  for (const [name, { record, server }] of topic?.segments ?? []) {
    if (record?.state !== "open" || record.incarnation !== incarnation) continue;
    if (server?.address === undefined) {
      throw new TopicError("unavailable", `nobody serves the open segment ${name}: it is to be taken over`);
    }
    const names = byAddress.get(server.address);
    if (names) names.push(name);
    else byAddress.set(server.address, [name]);
  }
  const positions: Record<string, number> = {};
  const asking = [...byAddress].map(async ([address, names]) => {
    const statuses = await attempts.ask(
      (options) =>
        context.connections.ask(
          address,
          (buffer, callOptions) => buffer.describe(topic?.name as string, callOptions),
          options,
        ),
      DESCRIBE_MS,
    );
    const found = new Map(statuses.map((one) => [segmentName(one.segment), one.durableSequence]));
    for (const name of names) {
      const sequence = found.get(name);
      if (sequence === undefined) {
        throw new TopicError("unavailable", `${address} does not serve the segment ${name} any more`);
      }
      positions[name] = sequence;
    }
  });
  // All of them, so that none is left behind asking.
  const failed = (await Promise.allSettled(asking)).find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
  return positions;
}

function notFound(topic: TopicName): TopicError {
  return new TopicError("topic-not-found", `there is no topic "${topic}"`);
}

/** Where a subscription that were created now would start, tried until the deadline. @throws TopicError "topic-not-found", "unavailable" */
export async function findStart(
  context: ClientContext,
  topic: TopicName,
  mode: SubscriptionMode,
  options: { readonly deadlineMs: number; readonly signal?: AbortSignal },
): Promise<SubscriptionRecord> {
  const attempts = new Attempts(context, options);
  for (;;) {
    try {
      return (await startNow(context, topic, mode, attempts)).record;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      await attempts.pause(error);
    }
  }
}
