import { credentials } from "@grpc/grpc-js";
import { createFanout } from "@x/fanout";
import { infinity, type Range } from "@x/space";
import { defineFeatures, openGrpcRegistry, staticLocator } from "@x/viewreg";
import { get, KvClient, startServer } from "./readme-servers.js"; // generated stubs, as ts-proto makes them

const [all, late] = [await startServer(), await startServer()];
const registry = openGrpcRegistry({
  locator: staticLocator([
    { host: "127.0.0.1", port: all.port, labels: { from: "" } },
    { host: "127.0.0.1", port: late.port, labels: { from: "m" } },
  ]),
  credentials: credentials.createInsecure(),
  features: defineFeatures({ kv: KvClient }),
  // Which keys a server has: here its labels tell, and it can be asked for over the channel as well.
  probe: (health, _channel, { endpoint }) => {
    const serves: Range<string> = { from: endpoint.labels?.from ?? "", to: infinity };
    return { ...health, serves };
  },
});
type View = ReturnType<typeof registry.healthyViews>[number];
const fanout = createFanout<View, string>({ serverOf: ({ channel }) => channel });

async function ask(keys: readonly string[]): Promise<void> {
  // Views by a function: whoever is asked again later is one that is well then.
  const views = () => registry.healthyViews("kv");
  const call = fanout.call(keys, views, (view, offsets) =>
    Promise.all(offsets.map((offset) => get(view.client("kv"), keys[offset] ?? ""))),
  );
  for await (const { result } of call) for (const line of result) console.log(line);
}

while (registry.viewsFor("zebra", "kv").length < 2) await registry.waitForChange(registry.version);
await ask(["kiwi"]);
late.stop();
await ask(["zebra"]);
await registry[Symbol.asyncDispose]();
all.stop();
