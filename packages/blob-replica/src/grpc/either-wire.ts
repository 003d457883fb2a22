import { lacksMethod } from "./status.js";

/** Our service, or what `rpc.Store` alone can do: the first call that the server does not know tells which of them it speaks, for all the others. */
export class EitherWire {
  #onlyBs = false;

  async one<Result>(ours: () => Promise<Result>, plain: () => Promise<Result>): Promise<Result> {
    if (this.#onlyBs) return await plain();
    try {
      return await ours();
    } catch (error) {
      if (!lacksMethod(error)) throw error;
      this.#onlyBs = true;
      return await plain();
    }
  }

  async *stream<Item>(
    ours: () => AsyncIterable<Item>,
    plain: () => AsyncIterable<Item>,
  ): AsyncGenerator<Item, void, undefined> {
    if (!this.#onlyBs) {
      try {
        yield* ours();
        return;
      } catch (error) {
        if (!lacksMethod(error)) throw error; // who lacks it says so before anything else
        this.#onlyBs = true;
      }
    }
    yield* plain();
  }
}
