import { createFanout, type View } from "@x/fanout";
import { infinity, type Range } from "@x/space";
import { describe, expect, expectTypeOf, it } from "vitest";
import { type HealthyView, Registry, type RegistryView, type ServerInfo } from "../src/index.js";
import {
  type FakeChannel,
  fakeConnector,
  fakeLocator,
  fakeProbe,
  manualClock,
  withFeatures,
} from "../src/testing.js";

interface Served {
  readonly features: readonly ("kv" | "scan")[];
  readonly serves: Range<string>;
}

describe("healthy views", () => {
  it("go straight into a fanout", async () => {
    const clock = manualClock();
    const probes = fakeProbe<Served>({ features: ["kv"], serves: { from: "", to: infinity } });
    probes.answer("a:1", { features: ["kv"], serves: { from: "", to: "m" } });
    probes.answer("b:1", { features: ["kv"], serves: { from: "m", to: infinity } });
    const registry = Registry.open<Served, FakeChannel, "kv" | "scan">({
      locator: fakeLocator(["a:1", "b:1"]),
      connector: fakeConnector(),
      probe: probes.probe,
      clock,
    });
    await clock.advance(0);
    // A view is replaced when it changes, its channel is not: so that is what a server is known by.
    const fanout = createFanout<HealthyView<Served, FakeChannel>, string>({
      serverOf: ({ channel }) => channel,
    });
    const answers: string[] = [];
    const points = ["apple", "zebra", "kiwi"];
    const call = fanout.call(points, registry.healthyViews("kv"), async (view, offsets) =>
      offsets.map((offset) => `${points[offset]} from ${view.channel.endpoint.host}`),
    );
    for await (const { result } of call) answers.push(...result);
    expect(answers.sort()).toEqual(["apple from a", "kiwi from a", "zebra from b"]);
    const current = fanout.call(
      ["apple"],
      () => registry.healthyViews("kv"),
      async (view) => String(view),
    );
    for await (const { result } of current) expect(result).toBe("a:1 (kv)");
  });
});

describe("the types", () => {
  it("let a healthy view be a view of a fanout, and no other", () => {
    expectTypeOf<HealthyView<Served>>().toExtend<View<string>>();
    expectTypeOf<RegistryView<Served>>().not.toExtend<View<string>>();
    expectTypeOf<HealthyView<{ readonly features: readonly string[] }>>().not.toExtend<View<string>>();
    expectTypeOf<HealthyView<{ readonly serves?: Range<string> }>>().not.toExtend<View<string>>();
  });

  it("know the points, the features and what was added", () => {
    type Known = Registry<Served, FakeChannel, "kv" | "scan", { readonly zone: string }>;
    expectTypeOf<Known["viewsFor"]>().parameter(0).toEqualTypeOf<string>();
    const ask = (registry: Known) => [
      registry.healthyViews("kv", "scan"),
      // @ts-expect-error no feature of this registry
      registry.healthyViews("other"),
    ];
    expectTypeOf(ask).toBeFunction();
    expectTypeOf<ReturnType<Known["healthyViews"]>[number]["zone"]>().toEqualTypeOf<string>();
    expectTypeOf<ReturnType<Known["healthyViews"]>[number]["info"]>().toEqualTypeOf<Served>();
    expectTypeOf<ReturnType<Known["allViews"]>[number]["info"]>().toEqualTypeOf<Served | undefined>();
    expectTypeOf<Registry<ServerInfo>["viewsFor"]>().parameter(0).toEqualTypeOf<unknown>();
    expectTypeOf<Registry<{ readonly features: readonly string[] }>["viewsFor"]>()
      .parameter(0)
      .toEqualTypeOf<never>();
    const view = {} as RegistryView<Served, FakeChannel, "kv" | "scan">;
    expectTypeOf(withFeatures<typeof view, "kv">).returns.toEqualTypeOf<typeof view>();
  });
});
