import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import type { AppendRequest } from "../protocol/requests.js";
import type { AppendResponse } from "../protocol/responses.js";
import type { OpFuture, OpFutures } from "./op-future.js";

/** Where the bytes of an append go. */
export interface AppendWriter {
  /**
   * Copies bytes, or a string as UTF-8, behind what was written before.
   * @throws JournalError "buffer-full": then `release` throws it again; "invalid-argument" after `release`; the reason for which the client
   * ended meanwhile
   */
  write(content: Uint8Array | string): void;
}

/**
 * An append that is being written, or waits for its turn, or is done. Its bytes are its own until `release`, and appear in the journal
 * all together and at its place in the order, or not at all.
 */
export interface AsyncAppend extends OpFuture {
  readonly request: AppendRequest;
  /** Good until `release`. */
  readonly writer: AppendWriter;
  /** Has `release` roll back unless `error` is undefined or null. The first error counts. */
  require(error: unknown): this;
  /**
   * Ends writing: the append is queued, or rolled back when `require` was given an error or a write failed.
   * @throws that error, if and only if the append was rolled back; JournalError "invalid-argument" when it was released before; the reason
   * for which the client ended before it was released: then nothing of it is appended
   */
  release(): void;
  /** Resolves when the append is committed, has failed or was rolled back. Never rejects. */
  readonly done: Promise<void>;
  /** Waits for `done`; gives what the append failed with, or undefined when it is committed. */
  err(): Promise<unknown>;
  /** After `done`: the broker's answer. Its `commit` spans the whole batch that this append went with. */
  readonly response: AppendResponse | undefined;
}

/** A client that also appends in the background. */
export interface AsyncJournalClient extends RoutedJournalClient {
  /**
   * Begins an append, at once: the order of a journal is the order of these calls. Whoever begins one has to release it, or nothing that
   * comes after it in that journal is sent.
   *
   * Nothing of it is sent before all `dependencies` are done. When one of them fails, the append fails with "dependency-failed", and so
   * does everything that comes after it in the journal, for as long as this client lives: only let an operation fail whose failure makes
   * this client useless.
   * @throws JournalError "invalid-argument", "closed"
   */
  startAppend(request: AppendRequest, dependencies?: ReadonlySet<OpFuture>): AsyncAppend;
  /**
   * What is pending now, one operation per journal, but for `journal` ("" leaves none out): dependencies for an append that has to come
   * after all of it. Journals that have failed are in it, with their error.
   */
  pendingExcept(journal: string): OpFutures;
}
