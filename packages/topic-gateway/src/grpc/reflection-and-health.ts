/** What every gRPC server of the topics has besides its own services: `grpc.health.v1` and server reflection. */
import { fileURLToPath } from "node:url";
import type { Server } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";

export interface ServingStatus {
  /** For the server as a whole and for each of its services. */
  set(serving: boolean): void;
}

/**
 * @param services full names, for the health service
 * @param protoFiles paths below this package's `proto` folder, for reflection
 */
export function addHealthAndReflection(
  server: Server,
  options: { readonly services: readonly string[]; readonly protoFiles: readonly string[] },
): ServingStatus {
  const names = ["", ...options.services];
  const health = new HealthImplementation(
    Object.fromEntries(names.map((name) => [name, "SERVING" as const])),
  );
  health.addToServer(server);
  const root = fileURLToPath(new URL("../../proto", import.meta.url));
  new ReflectionService(loadSync([...options.protoFiles], { includeDirs: [root] })).addToServer(server);
  return {
    set(serving) {
      for (const name of names) health.setStatus(name, serving ? "SERVING" : "NOT_SERVING");
    },
  };
}
