import type { QueueFiles } from "../../src/index.js";
import type { PowerCutFiles } from "./power-cut-files.js";

/**
 * The files as one process sees them that waits before every call until it is told to go on. What it has been told so far decides what it does next: two runs with the
 * same `history` are in the same state.
 */
export class SteppedFiles implements QueueFiles {
  readonly #disk: PowerCutFiles;
  #grant: (() => void) | undefined;
  /** Calls are not held up. */
  free = false;
  /** Every call with its result. */
  readonly history: string[] = [];
  /** Called when a call goes on; what it throws fails the call. */
  onStep: (call: string) => void = () => {};

  constructor(disk: PowerCutFiles) {
    this.#disk = disk;
  }

  get waits(): boolean {
    return this.#grant !== undefined;
  }

  /** Lets the call that waits do its work. */
  step(): void {
    const grant = this.#grant;
    this.#grant = undefined;
    grant?.();
  }

  async #call<T>(call: string, work: () => Promise<T>, say: (result: T) => string = String): Promise<T> {
    if (!this.free) {
      await new Promise<void>((resolve) => {
        if (this.#grant) throw new Error("two calls at once: their order would be nobody's choice");
        this.#grant = resolve;
      });
    }
    try {
      this.onStep(call);
      const result = await work();
      this.history.push(`${call}: ${say(result)}`);
      return result;
    } catch (error) {
      this.history.push(`${call}: ${String(error)}`);
      throw error;
    }
  }

  async openForReading(path: string) {
    const file = await this.#call(
      `open ${path}`,
      () => this.#disk.openForReading(path),
      ({ bytes }) => String(bytes),
    );
    return {
      ...file,
      read: (into: Uint8Array, position: number) =>
        this.#call(
          `read ${path}`,
          () => file.read(into, position),
          () => Buffer.from(into).toString("base64"),
        ),
    };
  }

  async create(path: string) {
    const file = await this.#call(
      `create ${path}`,
      () => this.#disk.create(path),
      () => "",
    );
    return {
      append: (bytes: Uint8Array) => this.#call(`append ${path}`, () => file.append(bytes)),
      sync: () => this.#call(`sync ${path}`, () => file.sync()),
      close: () => file.close(),
    };
  }

  rename(from: string, to: string) {
    return this.#call(`rename ${to}`, () => this.#disk.rename(from, to));
  }

  remove(path: string) {
    return this.#call(`remove ${path}`, () => this.#disk.remove(path));
  }

  makeDir(path: string) {
    return this.#call(`makeDir ${path}`, () => this.#disk.makeDir(path));
  }

  list(path: string) {
    return this.#call(`list ${path}`, () => this.#disk.list(path));
  }

  syncDir(path: string) {
    return this.#call(`syncDir ${path}`, () => this.#disk.syncDir(path));
  }

  modifiedMs(path: string) {
    return this.#call(`modifiedMs ${path}`, () => this.#disk.modifiedMs(path));
  }
}
