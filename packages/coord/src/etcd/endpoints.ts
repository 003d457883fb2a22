import { Etcd3, type IOptions } from "etcd3";

/**
 * The members to talk to, one etcd3 client for each. Calls go to one member until it fails; then the next call goes
 * to the next one. (etcd3 itself picks a member at random for each call, so that one dead of three fails a third of
 * all calls.)
 */
export class Endpoints {
  readonly #clients: readonly Etcd3[];
  readonly #owned: boolean;
  #current: number;

  private constructor(clients: readonly Etcd3[], owned: boolean, first: number) {
    this.#clients = clients;
    this.#owned = owned;
    this.#current = first;
  }

  /** A caller's own client is used as it is, and stays open on `close`. */
  static of(client: Etcd3): Endpoints {
    return new Endpoints([client], false, 0);
  }

  /** Connects to nothing yet. `first` is the index of the member to begin with. */
  static open(
    hosts: readonly string[],
    options: Omit<IOptions, "hosts" | "faultHandling">,
    first: number,
  ): Endpoints {
    const clients = hosts.map(
      (host) => new Etcd3({ ...options, hosts: host, faultHandling: NO_FAULT_HANDLING }),
    );
    return new Endpoints(clients, true, first);
  }

  get size(): number {
    return this.#clients.length;
  }

  get current(): Etcd3 {
    return this.#clients[this.#current] as Etcd3; // an index of it, always
  }

  /** The client could not be reached. Told twice of the same one, by two calls, it moves on only once. */
  failed(client: Etcd3): void {
    if (client === this.current) this.#current = (this.#current + 1) % this.#clients.length;
  }

  close(): void {
    if (this.#owned) for (const client of this.#clients) client.close();
  }
}

/**
 * etcd3's defaults repeat every failed call three times, and after three failures tell all calls for five seconds
 * that the member is down, when it is not any more. Both hide what happened from a caller that has to know. This
 * policy just runs the call; it has only what etcd3 uses of cockatiel's policies, which this package does not depend
 * on.
 */
const NO_POLICY = {
  execute: async (run: (context: unknown) => unknown): Promise<unknown> => await run({}),
};
const NO_FAULT_HANDLING = { host: () => NO_POLICY, global: NO_POLICY } as unknown as NonNullable<
  IOptions["faultHandling"]
>;
