import { credentials } from "@grpc/grpc-js";
import { infinity } from "@x/space";
import { openGrpcRegistry, staticLocator } from "@x/viewreg";
import { startServer } from "./readme-servers.js"; // a gRPC server with grpc.health.v1

const [all, late] = [await startServer(), await startServer()];
const registry = openGrpcRegistry({
  locator: staticLocator([
    { host: "127.0.0.1", port: all.port, labels: { from: "" } },
    { host: "127.0.0.1", port: late.port, labels: { from: "m" } },
  ]),
  credentials: credentials.createInsecure(),
  // Which keys a server has: here its labels tell, and it can be asked for over the channel as well.
  probe: (health, _channel, { endpoint }) => ({
    ...health,
    serves: { from: endpoint.labels?.from ?? "", to: infinity },
  }),
});

async function until(healthy: number): Promise<void> {
  const signal = AbortSignal.timeout(10_000);
  while (registry.healthyViews().length !== healthy)
    await registry.waitForChange(registry.version, { signal });
}

await until(2);
console.log(`kiwi: ${registry.viewsFor("kiwi").length}, zebra: ${registry.viewsFor("zebra").length}`);
late.stop();
await until(1);
console.log(`kiwi: ${registry.viewsFor("kiwi").length}, zebra: ${registry.viewsFor("zebra").length}`);
await registry[Symbol.asyncDispose]();
all.stop();
