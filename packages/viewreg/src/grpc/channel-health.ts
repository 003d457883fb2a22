import { type ChannelInterface, connectivityState } from "@grpc/grpc-js";
import { RegistryError } from "../errors.js";
import {
  type HealthClient,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../gen/grpc/health/v1/health.js";
import type { GrpcInfo } from "./health.js";

/** `unknown`: the server has no such service. */
export type Serving = "serving" | "not-serving" | "unknown";

/** @throws RegistryError "bad-answer" */
export function servingOf(status: ServingStatus): Serving {
  if (status === ServingStatus.SERVING) return "serving";
  if (status === ServingStatus.SERVICE_UNKNOWN) return "unknown";
  // A server that does not know yet how it is must not be used yet.
  if (status === ServingStatus.NOT_SERVING || status === ServingStatus.UNKNOWN) return "not-serving";
  throw new RegistryError(
    "bad-answer",
    `the server's status is ${status}, which grpc.health.v1 does not have`,
  );
}

/** What is known of one server's services, from answers and from what the server tells by itself. */
export class ChannelHealth<F extends string> {
  readonly client: HealthClient;
  readonly overall: string;
  readonly services: readonly string[];
  toldMissing = false;
  readonly #channel: ChannelInterface;
  readonly #features: readonly { readonly name: F; readonly service: string }[];
  /** By the name of the service. */
  readonly #known = new Map<string, Serving>();
  /** Told by the server: these need not be asked for. */
  readonly #watched = new Set<string>();
  /** How many probes ago the features were asked for; undefined when they must be at the next. */
  #age: number | undefined;
  #followsConnection = false;
  #info: GrpcInfo<F> = Object.freeze({ features: Object.freeze([]) });

  constructor(
    client: HealthClient,
    channel: ChannelInterface,
    asked: {
      readonly overall: string;
      readonly features: readonly { readonly name: F; readonly service: string }[];
    },
  ) {
    this.client = client;
    this.#channel = channel;
    this.overall = asked.overall;
    this.#features = asked.features;
    this.services = asked.features.map(({ service }) => service);
  }

  /** The services that the next probe has to ask for. */
  takeDue(every: number): string[] {
    const all = this.#age === undefined || this.#age + 1 >= every;
    if (this.#age === undefined) this.#forgetWithConnection();
    this.#age = all ? 0 : (this.#age ?? 0) + 1;
    return all ? this.services.filter((service) => !this.#watched.has(service)) : [];
  }

  /** The probe that asked for these failed. */
  forget(asked: readonly string[]): void {
    if (asked.length > 0) this.#age = undefined;
  }

  /** An answer. What the server told by itself meanwhile is newer. */
  learn(service: string, serving: Serving): void {
    if (!this.#watched.has(service)) this.#known.set(service, serving);
  }

  /** The server told by itself. */
  told(service: string, serving: Serving): void {
    this.#watched.add(service);
    this.#known.set(service, serving);
  }

  /** The server tells no more. */
  untold(service: string): void {
    if (this.#watched.delete(service)) this.#age = undefined;
  }

  /** The same object as long as nothing has changed. */
  info(): GrpcInfo<F> {
    const names = this.#features.flatMap(({ name, service }) =>
      this.#known.get(service) === "serving" ? [name] : [],
    );
    const old = this.#info.features;
    if (names.length !== old.length || names.some((name, index) => name !== old[index]))
      this.#info = Object.freeze({ features: Object.freeze(names) });
    return this.#info;
  }

  /** The connection as it is now; `changed` once its state has. */
  connection(): { readonly changed: boolean } {
    const connection = { changed: false };
    const state = this.#channel.getConnectivityState(false);
    if (state === connectivityState.SHUTDOWN) connection.changed = true;
    else
      this.#channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => {
        connection.changed = true;
      });
    return connection;
  }

  /** Resolves when there is a connection. @throws the signal's reason, RegistryError "closed" */
  async ready(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const state = this.#channel.getConnectivityState(false);
      if (state === connectivityState.READY) return;
      if (state === connectivityState.SHUTDOWN) throw new RegistryError("closed", "the channel is closed");
      let onAbort: () => void = () => {};
      await new Promise<void>((resolve) => {
        onAbort = resolve;
        signal.addEventListener("abort", onAbort, { once: true });
        this.#channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => resolve());
      });
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Behind the next connection there may be another server, with other features. */
  #forgetWithConnection(): void {
    const state = this.#channel.getConnectivityState(false);
    if (this.#followsConnection || state === connectivityState.SHUTDOWN) return;
    this.#followsConnection = true;
    this.#channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => {
      this.#followsConnection = false;
      this.#age = undefined;
    });
  }
}
