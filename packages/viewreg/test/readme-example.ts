import { credentials } from "@grpc/grpc-js";
import { openGrpcRegistry, staticLocator } from "@x/viewreg";
import { startServer } from "./readme-servers.js"; // a gRPC server with grpc.health.v1

const [one, two] = [await startServer(), await startServer()];
const endpoints = [one, two].map(({ port }) => ({ host: "127.0.0.1", port }));
await using registry = openGrpcRegistry({
  locator: staticLocator(endpoints),
  credentials: credentials.createInsecure(),
});
while (registry.healthyViews().length < 2) await registry.waitForChange(registry.version);
console.log(`well: ${registry.healthyViews().length} of ${registry.allViews().length}`);
two.stop();
await registry.waitForChange(registry.version);
console.log(`well: ${registry.healthyViews().length} of ${registry.allViews().length}`);
one.stop();
