import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { RegistryError } from "../errors.js";
import type { Secret } from "./kubernetes-api.js";

export interface InClusterOptions {
  /** The value of the environment variable KUBERNETES_SERVICE_HOST. */
  readonly host: string | undefined;
  /** The value of the environment variable KUBERNETES_SERVICE_PORT. */
  readonly port: string | undefined;
  /** Where the service account is mounted. Default `/var/run/secrets/kubernetes.io/serviceaccount`. */
  readonly directory?: string;
}

/** What a pod knows of its cluster: to be spread into the options of `endpointSliceLocator`. */
export interface InCluster {
  readonly server: string;
  readonly namespace: string;
  readonly token: Secret;
  readonly ca: Secret;
}

/**
 * The API server and the service account of the pod that this runs in. Token and authority are read when they are needed, since they
 * are replaced from time to time; the namespace is read here.
 * @throws RegistryError "unavailable" outside of a pod, or when it has no service account
 */
export async function inCluster(options: InClusterOptions): Promise<InCluster> {
  const { host, port, directory = "/var/run/secrets/kubernetes.io/serviceaccount" } = options;
  if (!host || !port)
    throw new RegistryError("unavailable", "host and port of the API server are not given: this is no pod");
  const file = async (name: string): Promise<string> => {
    try {
      return (await readFile(join(directory, name), "utf8")).trim();
    } catch (cause) {
      throw new RegistryError("unavailable", `the service account has no ${name}`, { cause });
    }
  };
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    namespace: await file("namespace"),
    token: () => file("token"),
    ca: () => file("ca.crt"),
  };
}
