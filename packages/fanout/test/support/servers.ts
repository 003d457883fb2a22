import { infinity, type Range } from "@x/space";
import type { RpcContext } from "../../src/index.js";
import { FakeClock } from "./fake-clock.js";

export interface Server {
  readonly name: string;
  readonly serves: Range<number>;
}

export function server(name: string, from = 0, to: number | typeof infinity = infinity): Server {
  return { name, serves: { from, to } };
}

/** A request as the rpc under test got it, and the means to answer it. */
export interface Sent {
  readonly server: string;
  readonly offsets: readonly number[];
  readonly context: RpcContext<Server>;
  resolve(result: string): void;
  reject(error: unknown): void;
}

/** An rpc whose requests wait until the test answers them. It ignores its signals, as the worst ones do. */
export function handAnswered(): {
  readonly sent: Sent[];
  readonly rpc: (server: Server, offsets: readonly number[], context: RpcContext<Server>) => Promise<string>;
} {
  const sent: Sent[] = [];
  return {
    sent,
    rpc: ({ name }, offsets, context) =>
      new Promise((resolve, reject) => sent.push({ server: name, offsets, context, resolve, reject })),
  };
}

/** Options on a clock of the test's own, and with chance that can be told again. */
export function steady(clock: FakeClock = new FakeClock()): {
  readonly clock: FakeClock;
  readonly random: () => number;
} {
  let seed = 1;
  return {
    clock,
    random: () => {
      // Park and Miller's generator.
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    },
  };
}

/** Everything a call gives, and how it ends. Never rejects. */
export async function drain<C>(call: AsyncIterable<C>): Promise<{ chunks: C[]; error: unknown }> {
  const chunks: C[] = [];
  try {
    for await (const chunk of call) chunks.push(chunk);
    return { chunks, error: undefined };
  } catch (error) {
    return { chunks, error };
  }
}
