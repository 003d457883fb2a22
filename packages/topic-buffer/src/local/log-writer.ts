import { type SegmentLogWriter, TopicError } from "@x/topic-gateway/protocol";
import { asTopicError } from "./errors.js";
import { type DurableFile, isUnsealed, type LogFileSystem } from "./log-files.js";
import { connect } from "./log-header.js";
import type { LogPoint } from "./log-scanner.js";
import type { LogPaths } from "./paths.js";
import type { Room } from "./room.js";

export interface LocalLogWriterOptions {
  readonly fileSystem: LogFileSystem;
  readonly paths: LogPaths;
  readonly file: DurableFile;
  readonly room: Room;
  /** Behind the header. */
  readonly start: LogPoint;
  /** A point below which everything is durable and acknowledged. */
  readonly onDurable: (point: LogPoint) => void;
  readonly onClose: () => void;
}

export class LocalLogWriter implements SegmentLogWriter {
  readonly #options: LocalLogWriterOptions;
  /** What is acknowledged ends here. */
  #point: LogPoint;
  #busy: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  /** Why nothing is appended any more. */
  #refusal: TopicError | undefined;

  constructor(options: LocalLogWriterOptions) {
    this.#options = options;
    this.#point = options.start;
  }

  append(frames: Buffer): Promise<void> {
    if (this.#refusal) return Promise.reject(this.#refusal);
    const name = this.#options.paths.name;
    if (this.#busy) return this.#refuse("an append was started before the one before it had ended");
    const next = connect(this.#point, frames, this.#options.paths.nonce);
    if (!next) {
      return this.#refuse(
        `frames do not connect to where the log stands: byte ${this.#point.offset}, sequence ${this.#point.sequence}`,
      );
    }
    const appended = this.#append(frames, next).catch((error: unknown) => {
      this.#refusal ??= asTopicError(error, {
        code: "log-failed",
        doing: `an append to the log ${name}`,
      }) as TopicError;
      throw this.#refusal;
    });
    const settled = (): void => {
      this.#busy = undefined;
    };
    this.#busy = appended.then(settled, settled);
    return appended;
  }

  async #append(frames: Buffer, next: LogPoint): Promise<void> {
    const { fileSystem, paths, file, room } = this.#options;
    if (frames.length > 0) {
      await room.claim(next.offset);
      await file.write(frames, this.#point.offset);
    }
    // Behind the sync: what was acknowledged was durable before there was a marker.
    const unsealed = isUnsealed(fileSystem, paths);
    if (!(unsealed === true || (await unsealed)))
      throw new TopicError("log-sealed", `the log ${paths.name} was sealed`);
    this.#point = next;
    this.#options.onDurable(next);
    if (!this.#closed) room.prepare(next.offset, frames.length);
  }

  #refuse(why: string): Promise<never> {
    this.#refusal = new TopicError(
      "log-failed",
      `the log ${this.#options.paths.name} takes nothing more: ${why}`,
    );
    return Promise.reject(this.#refusal);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { room, file, paths, onClose } = this.#options;
    this.#refusal ??= new TopicError("log-failed", `the writer of the log ${paths.name} is closed`);
    await this.#busy;
    onClose();
    await room.close();
    await file.close();
  }
}
