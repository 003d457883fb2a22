import { JournalError } from "../errors.js";
import type { Fragment } from "../protocol/fragment.js";
import type { ReadRequest } from "../protocol/requests.js";
import type { ReadResponse } from "../protocol/responses.js";
import { statusError } from "../wire/status-error.js";
import { OffsetJumpError } from "./offset-jump.js";

export type OnOffsetJump = (from: bigint, to: bigint) => void;

/** Where a read is in its journal, and what the broker's answers said about that. Does no I/O. */
export class ReadPlace {
  readonly #request: ReadRequest;
  readonly #endOffset: bigint;
  /** Of the next byte to be read; -1n until the write head is known. */
  offset: bigint;
  /** The broker's last answer. */
  response: ReadResponse | undefined;
  /** Where the next append went when the broker last told. */
  writeHead: bigint | undefined;
  fragment: Fragment | undefined;
  /** Content that came with a jump, which is to be given out behind that. */
  #pending: Uint8Array | undefined;

  constructor(request: ReadRequest) {
    this.#request = request;
    this.#endOffset = request.endOffset ?? 0n;
    this.offset = request.offset ?? 0n;
  }

  /** Whether `endOffset` is reached. */
  get isAtEnd(): boolean {
    return this.#endOffset !== 0n && this.offset >= this.#endOffset;
  }

  /** Whether the broker has taken the read beyond what was asked for: a jump may do that, and what comes behind it does not matter. */
  get isOver(): boolean {
    return this.response !== undefined && this.isAtEnd;
  }

  /** Whether there is nothing to ask a broker for. */
  get isEmpty(): boolean {
    return this.#endOffset !== 0n && this.offset === this.#endOffset;
  }

  /**
   * Content of an answer, if it has any: not yet counted in `offset`.
   * @throws OffsetJumpError, behind which the content is `pending`; JournalError of a status that is not OK; "invalid-response"
   */
  take(response: ReadResponse, onOffsetJump: OnOffsetJump | undefined): Uint8Array | undefined {
    this.response = response;
    const { content, status, offset: to } = response;
    const { journal } = this.#request;
    if (content === undefined && (status === "OK" || status === "OFFSET_NOT_YET_AVAILABLE")) {
      this.writeHead = response.writeHead;
      this.fragment = response.fragment ?? this.fragment;
    }
    const from = this.offset;
    if (status !== "OK") {
      if (from === -1n && to > from && status === "OFFSET_NOT_YET_AVAILABLE") this.offset = to;
      throw statusError(status, { journal });
    }
    if (to < from) {
      throw new JournalError(
        "invalid-response",
        `the broker answered with offset ${to} of ${journal}, which is before ${from}, the next to be read`,
        { journal },
      );
    }
    if (to > from) {
      this.offset = to;
      // That -1n becomes the write head is no jump.
      if (from !== -1n) {
        if (onOffsetJump === undefined) {
          this.#pending = content;
          throw new OffsetJumpError(journal, from, to);
        }
        onOffsetJump(from, to);
      }
    }
    return content === undefined || content.length === 0 ? undefined : content;
  }

  /** What came with a jump, once. */
  takePending(): Uint8Array | undefined {
    const chunk = this.#pending;
    this.#pending = undefined;
    return chunk;
  }

  /** Counts a chunk, and gives the part of it that was asked for: undefined when nothing of it was. */
  give(chunk: Uint8Array): Uint8Array | undefined {
    this.offset += BigInt(chunk.length);
    if (!this.isAtEnd) return chunk;
    const excess = Number(this.offset - this.#endOffset);
    this.offset = excess < chunk.length ? this.#endOffset : this.offset - BigInt(chunk.length);
    return excess < chunk.length ? chunk.subarray(0, chunk.length - excess) : undefined;
  }

  /**
   * The fragment that is to be read from its store now that the broker closed the stream; undefined when that was the end.
   * @throws JournalError "invalid-response" when it does not hold the offset
   */
  fragmentToOpen(): { readonly fragment: Fragment; readonly url: string } | undefined {
    const { doNotProxy, metadataOnly, journal } = this.#request;
    const last = this.response;
    if (doNotProxy !== true || metadataOnly === true || last === undefined || last.fragmentUrl === "") {
      return undefined;
    }
    if (this.isAtEnd) return undefined;
    const { fragment, fragmentUrl: url } = last;
    if (fragment !== undefined && this.offset >= fragment.begin && this.offset < fragment.end) {
      return { fragment, url };
    }
    throw new JournalError(
      "invalid-response",
      `the broker gave a URL for offset ${this.offset} of ${journal}, with a fragment that does not hold it`,
      { journal },
    );
  }
}
