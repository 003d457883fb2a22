import type { Endpoint } from "../endpoint.js";
import { formatEndpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { ServerInfo } from "../probe.js";
import { describe, oneLine } from "../text.js";
import type { RegistryView, Serves } from "./contract.js";
import type { Known } from "./known.js";

export type Outcome = "ok" | "failed" | "timeout";

/** The server behind a view, which outlives it. */
export interface ViewedServer<C> {
  readonly channel: C;
  weight(): number;
  report(outcome: Outcome): void;
}

export interface ViewContent<V extends ServerInfo, C> {
  readonly server: ViewedServer<C>;
  readonly endpoint: Endpoint;
  readonly healthy: boolean;
  readonly known: Known<V> | undefined;
}

/** Makes the views of one registry. */
export type MakeView<V extends ServerInfo, C, F extends string, X> = (
  content: ViewContent<V, C>,
) => RegistryView<V, C, F> & X;

class View<V extends ServerInfo, C, F extends string> implements RegistryView<V, C, F> {
  readonly endpoint: Endpoint;
  readonly healthy: boolean;
  readonly info: V | undefined;
  readonly serves: Serves<V> | undefined;
  readonly channel: C;
  readonly #content: ViewContent<V, C>;

  constructor(content: ViewContent<V, C>) {
    this.endpoint = content.endpoint;
    this.healthy = content.healthy;
    this.info = content.known?.info;
    // The checked copy of `info.serves`, so of its type.
    this.serves = content.known?.serves as Serves<V> | undefined;
    this.channel = content.server.channel;
    this.#content = content;
    Object.freeze(this);
  }

  /** What a view was made of, for a copy; undefined for anything else. */
  static contentOf(view: object): ViewContent<ServerInfo, unknown> | undefined {
    return #content in view ? view.#content : undefined;
  }

  get weight(): number {
    return this.#content.server.weight();
  }

  provides(...features: readonly F[]): boolean {
    const { known } = this.#content;
    if (known === undefined) return false;
    for (const feature of features) if (!known.features.has(feature)) return false;
    return true;
  }

  report(outcome: Outcome): void {
    this.#content.server.report(outcome);
  }

  toString(): string {
    const { endpoint, known } = this.#content;
    const address = formatEndpoint(endpoint);
    return known === undefined || known.features.size === 0
      ? address
      : `${address} (${[...known.features].map((feature) => oneLine(feature)).join(", ")})`;
  }
}

const ownNames: ReadonlySet<string> = new Set([
  ...["endpoint", "healthy", "info", "serves", "channel"],
  ...Object.getOwnPropertyNames(View.prototype),
]);

/**
 * One class of views for a registry, with `extend` on its prototype, so that it costs nothing for each view.
 *
 * @throws RegistryError "invalid-argument"
 */
export function viewMaker<V extends ServerInfo, C, F extends string, X>(
  extend: unknown,
): MakeView<V, C, F, X> {
  class RegisteredView extends View<V, C, F> {}
  if (extend !== undefined) {
    if (typeof extend !== "object" || extend === null)
      throw new RegistryError("invalid-argument", `The option extend is an object, not ${describe(extend)}`);
    const descriptors = Object.getOwnPropertyDescriptors(extend);
    const taken = Object.keys(descriptors).find((name) => ownNames.has(name));
    if (taken !== undefined)
      throw new RegistryError(
        "invalid-argument",
        `The option extend has \`${taken}\`, which every view has already`,
      );
    Object.defineProperties(RegisteredView.prototype, descriptors);
  }
  // What `extend` has is on the prototype now, so the views are X as well.
  return (content) => new RegisteredView(content) as unknown as RegistryView<V, C, F> & X;
}

/**
 * A copy of a view that provides other features.
 *
 * @throws RegistryError "invalid-argument" for what is no view of a registry
 */
export function copyWithFeatures<T extends object>(view: T, features: readonly string[]): T {
  const content = View.contentOf(view);
  if (content === undefined)
    throw new RegistryError("invalid-argument", "only views of a Registry can be copied with other features");
  const info: ServerInfo = { ...content.known?.info, features: Object.freeze([...features]) };
  const { serves, space } = content.known ?? {};
  const known: Known<ServerInfo> = { info, serves, space, features: new Set(features) };
  const make = view.constructor as new (content: ViewContent<ServerInfo, unknown>) => T; // the class that made `view`
  return new make({ ...content, known });
}
