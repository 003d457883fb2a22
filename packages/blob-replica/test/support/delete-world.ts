import {
  type AsyncReplicaOptions,
  createReplica,
  type Replica,
  type ReplicaEvent,
  refOf,
} from "../../src/index.js";
import { blobOf, FakeClock, FakeFiles, FaultyStore, noChance } from "../replica-fakes.js";

export const blob = blobOf("a blob");
export const ref = refOf(blob);

/** A replica of two and two stores that fail as told. */
export class World {
  readonly clock = new FakeClock();
  readonly files = new FakeFiles();
  readonly near = [new FaultyStore(), new FaultyStore()] as const;
  readonly far = [new FaultyStore(), new FaultyStore()] as const;
  readonly events: ReplicaEvent[] = [];

  open(more: Partial<AsyncReplicaOptions> = {}): Promise<Replica> {
    return createReplica({
      sync: this.near.map((store, i) => ({ name: `near${i}`, store })),
      async: this.far.map((store, i) => ({ name: `far${i}`, store })),
      queue: { dir: "/queue", files: this.files },
      clock: this.clock,
      random: noChance,
      attemptTimeoutMs: 5000,
      onEvent: (event) => this.events.push(event),
      ...more,
    });
  }

  /** Which stores have it: the synchronous ones, and the others. */
  async holders(of = ref): Promise<readonly [string, string]> {
    const say = async (stores: readonly FaultyStore[]) =>
      (await Promise.all(stores.map((store) => store.holds(of))))
        .map((holds) => (holds ? "x" : "-"))
        .join("");
    return [await say(this.near), await say(this.far)];
  }
}

/** Of each asynchronous store: its backlog, and whether it needs a sync. */
export const asks = (replica: Replica) =>
  replica.state().async.map(({ backlog, needsSync }) => [backlog, needsSync]);

/** Why, or "resolved". */
export const rejected = (promise: Promise<unknown> | undefined) =>
  promise?.then(
    () => "resolved",
    (error: unknown) => error,
  );
