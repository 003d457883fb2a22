import { type Coord, type Clock as CoordClock, follow } from "@x/coord";

/** The one key that a registration is about, which others may delete or take. */
export class OwnKey {
  readonly #coord: Coord;
  readonly #key: string;
  readonly #value: string;

  constructor(coord: Coord, key: string, value: string) {
    this.#coord = coord;
    this.#key = key;
    this.#value = value;
  }

  /** Whoever comes last has it. @throws CoordError */
  async put(lease: bigint, signal: AbortSignal): Promise<void> {
    await this.#coord.txn({ then: [{ type: "put", key: this.#key, value: this.#value, lease }] }, { signal });
  }

  /** Puts it if there is none, and says whether there was none. @throws CoordError */
  async restore(lease: bigint, signal: AbortSignal): Promise<boolean> {
    const { succeeded } = await this.#coord.txn(
      {
        compare: [{ key: this.#key, target: "create", op: "=", value: 0n }],
        then: [{ type: "put", key: this.#key, value: this.#value, lease }],
      },
      { signal },
    );
    return succeeded;
  }

  /** Deletes it if it still hangs on this lease. @throws CoordError */
  async remove(lease: bigint, signal: AbortSignal): Promise<void> {
    await this.#coord.txn(
      {
        compare: [{ key: this.#key, target: "lease", op: "=", value: lease }],
        then: [{ type: "delete", key: this.#key }],
      },
      { signal },
    );
  }

  /** Whether it is there: as of now, and then after each change. @throws CoordError, signal.reason */
  async *follow(options: {
    readonly clock: CoordClock;
    readonly signal: AbortSignal;
  }): AsyncGenerator<boolean, void, undefined> {
    for await (const { events } of follow(this.#coord, { key: this.#key }, options))
      yield events.at(-1)?.type === "put";
  }
}
