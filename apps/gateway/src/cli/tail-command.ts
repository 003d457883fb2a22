import type { GatewayHttp } from "./gateway-http.js";
import { print } from "./output.js";

const PULL_MESSAGES = 1_000;
const PULL_WAIT_MS = 5_000;

export interface TailFlags {
  readonly subscription?: string;
  readonly consumer: string;
  readonly max?: number;
}

/** Prints messages until there were `max`, or somebody stops it. Of a subscription, what was printed is committed. */
export async function tail(gateway: GatewayHttp, topic: string, flags: TailFlags): Promise<void> {
  const { subscription, consumer, max = Number.POSITIVE_INFINITY } = flags;
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  const base = `/v1/topics/${encodeURIComponent(topic)}`;
  try {
    if (subscription === undefined) await tailLive(gateway, `${base}/tail`, max, stop.signal);
    else {
      const at = `${base}/subscriptions/${encodeURIComponent(subscription)}`;
      await tailSubscription(gateway, at, { consumer, max, signal: stop.signal });
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    stop.abort();
  }
}

async function tailLive(gateway: GatewayHttp, path: string, max: number, signal: AbortSignal): Promise<void> {
  let printed = 0;
  for await (const { event, data } of gateway.events(path, signal)) {
    if (event === "ready") process.stderr.write("waiting for messages, Ctrl-C ends\n");
    if (event !== "message") continue;
    await print(data);
    printed += 1;
    if (printed >= max) return;
  }
  if (!signal.aborted)
    throw new Error("the gateway ended the stream: it is stopping, or the connection broke");
}

async function tailSubscription(
  gateway: GatewayHttp,
  at: string,
  options: { readonly consumer: string; readonly max: number; readonly signal: AbortSignal },
): Promise<void> {
  const { consumer, max, signal } = options;
  let printed = 0;
  try {
    while (printed < max && !signal.aborted) {
      const limit = Math.min(PULL_MESSAGES, max - printed);
      const query = `consumer=${encodeURIComponent(consumer)}&max=${limit}&waitMs=${PULL_WAIT_MS}`;
      const messages = await gateway.getLines(`${at}/messages?${query}`, signal);
      if (messages.length === 0) continue;
      await print(...messages.map(({ ack: _, ...message }) => message));
      printed += messages.length;
      await gateway.post(`${at}/commit`, { consumer, acks: messages.map(({ ack }) => ack) });
    }
  } finally {
    // Its segments go to others at once, instead of after a time of silence.
    await gateway.delete(`${at}/consumers/${encodeURIComponent(consumer)}`).catch(() => {});
  }
}
