import type { Range } from "@x/space";
import { Registry, type RegistryEvent, type RegistryOptions, type RegistryView } from "../../src/index.js";
import {
  type FakeChannel,
  type FakeConnector,
  type FakeLocator,
  type FakeProbe,
  fakeConnector,
  fakeLocator,
  fakeProbe,
  type ManualClock,
  manualClock,
} from "../../src/testing.js";

export interface Info {
  readonly features?: readonly string[];
  readonly serves?: Range<string>;
  readonly zone?: string;
}

export type WorldView = RegistryView<Info, FakeChannel>;

/** A registry of which everything outside is the test's. */
export interface World {
  readonly registry: Registry<Info, FakeChannel>;
  readonly clock: ManualClock;
  readonly locator: FakeLocator;
  readonly connector: FakeConnector;
  readonly probes: FakeProbe<Info>;
  readonly events: RegistryEvent[];
  /** The addresses of the healthy ones, sorted. */
  healthy(): string[];
  all(): string[];
  view(address: string): WorldView;
}

export function openWorld(
  endpoints: readonly string[],
  options: Partial<RegistryOptions<Info, FakeChannel>> & { readonly info?: Info } = {},
): World {
  const clock = manualClock(1000);
  const locator = fakeLocator(endpoints);
  const connector = fakeConnector();
  const { info = { features: ["kv", "scan"] }, ...rest } = options;
  const probes = fakeProbe<Info>(info);
  const events: RegistryEvent[] = [];
  const registry = Registry.open<Info, FakeChannel>({
    locator,
    connector,
    probe: probes.probe,
    clock,
    random: chance(7),
    log: (event) => void events.push(event),
    ...rest,
  });
  const addresses = (views: readonly WorldView[]): string[] =>
    views.map(({ endpoint: { host, port } }) => `${host}:${port}`).sort();
  return {
    registry,
    clock,
    locator,
    connector,
    probes,
    events,
    healthy: () => addresses(registry.healthyViews()),
    all: () => addresses(registry.allViews()),
    view(address) {
      const found = registry.allViews().find(({ endpoint: { host, port } }) => `${host}:${port}` === address);
      if (found === undefined) throw new Error(`there is no ${address}`);
      return found;
    },
  };
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How long it takes until that is so, looking each ms. */
export async function until(world: World, is: () => boolean, mostMs = 60_000): Promise<number> {
  const start = world.clock.monotonicMs();
  while (!is()) {
    const ms = world.clock.monotonicMs() - start;
    if (ms >= mostMs) throw new Error(`not within ${mostMs} ms`);
    await world.clock.advance(1);
  }
  return world.clock.monotonicMs() - start;
}

export function sleep(world: World, ms: number): Promise<void> {
  return new Promise((resolve) => void world.clock.setTimer(ms, resolve));
}

/** `a:1`, `a:2` and so on. */
export const addresses = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `a:${index + 1}`);

export const named = (world: World, name: string): RegistryEvent[] =>
  world.events.filter(({ event }) => event === name);

/** Counts what goes into a counter, by the value of its one label. */
export function counter(): {
  readonly counts: Record<string, number>;
  inc(labels: Record<string, string>): void;
} {
  const counts: Record<string, number> = {};
  return {
    counts,
    inc(labels) {
      for (const value of Object.values(labels)) counts[value] = (counts[value] ?? 0) + 1;
    },
  };
}
