import {
  type ChannelCredentials,
  type ChannelInterface,
  type Client,
  type ClientOptions,
  credentials,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import { RegistryError } from "../errors.js";

/** A stub's class, as ts-proto and `makeGenericClientConstructor` make them. */
export interface ClientConstructor<T extends Client = Client> {
  new (address: string, credentials: ChannelCredentials, options?: ClientOptions): T;
  readonly service: ServiceDefinition;
}

export type ClientConstructors = Readonly<Record<string, ClientConstructor>>;

/** Names of gRPC services and how to call them. */
export interface Features<M extends ClientConstructors> {
  /** In the order of their definition. */
  readonly names: readonly FeatureName<M>[];
  /** The full name of a feature's gRPC service, as `pkg.Service`. @throws RegistryError "no-feature" */
  service(name: FeatureName<M>): string;
  /** The same stub for the same channel, made when it is first asked for. @throws RegistryError "no-feature" */
  client<K extends FeatureName<M>>(name: K, channel: ChannelInterface): InstanceType<M[K]>;
}

export type FeatureName<M extends ClientConstructors> = keyof M & string;

/**
 * Features that are gRPC services: `defineFeatures({ kv: KvClient })`. A server provides `kv` when it serves what `KvClient` calls.
 * Do not `close()` the stubs: they share the registry's channel.
 * @throws RegistryError "invalid-argument" for a class whose methods belong to no service, or to several
 */
export function defineFeatures<const M extends ClientConstructors>(clients: M): Features<M> {
  return new GrpcFeatures(clients);
}

class GrpcFeatures<M extends ClientConstructors> implements Features<M> {
  readonly names: readonly FeatureName<M>[];
  readonly #classes: ReadonlyMap<string, { readonly make: ClientConstructor; readonly service: string }>;
  readonly #clients = new WeakMap<ChannelInterface, Map<string, Client>>();

  constructor(clients: M) {
    const entries = Object.entries(clients);
    this.#classes = new Map(
      entries.map(([name, make]) => [name, { make, service: serviceName(name, make) }]),
    );
    this.names = Object.freeze(Object.keys(clients) as FeatureName<M>[]); // what M says, given as a list
  }

  service(name: FeatureName<M>): string {
    return this.#class(name).service;
  }

  client<K extends FeatureName<M>>(name: K, channel: ChannelInterface): InstanceType<M[K]> {
    const clients = this.#clients.get(channel) ?? new Map<string, Client>();
    this.#clients.set(channel, clients);
    let client = clients.get(name);
    if (client === undefined) {
      const { make: Client } = this.#class(name);
      // The address and the credentials are the channel's; these are not looked at.
      client = new Client(channel.getTarget(), credentials.createInsecure(), { channelOverride: channel });
      clients.set(name, client);
    }
    return client as InstanceType<M[K]>; // made by the class of this very name
  }

  #class(name: string): { readonly make: ClientConstructor; readonly service: string } {
    const found = this.#classes.get(name);
    if (found === undefined)
      throw new RegistryError(
        "no-feature",
        `${JSON.stringify(name)} is no feature; there are ${[...this.#classes.keys()].join(", ") || "none"}`,
      );
    return found;
  }
}

/** The service in the paths of a stub's methods, which are `/pkg.Service/Method`. */
function serviceName(name: string, client: ClientConstructor): string {
  const paths = Object.values(client?.service ?? {}).map(({ path }) => path);
  const services = new Set(paths.map((path) => /^\/([^/]+)\/[^/]+$/.exec(path)?.[1]));
  const [service] = services;
  if (services.size !== 1 || service === undefined)
    throw new RegistryError(
      "invalid-argument",
      `feature ${JSON.stringify(name)} must be a gRPC client class whose methods all belong to one service, like /pkg.Service/Method; it has ${paths.join(", ") || "none"}`,
    );
  return service;
}
