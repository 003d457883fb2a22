import { JournalError } from "../errors.js";

/** A JournalError "offset-jump": the bytes from `from` to `to` do not exist (any more). */
export class OffsetJumpError extends JournalError {
  /** Where the reader was. */
  readonly from: bigint;
  /** Where it goes on. Greater than `from`. */
  readonly to: bigint;

  constructor(journal: string, from: bigint, to: bigint) {
    super("offset-jump", `${journal} has no content from offset ${from} to ${to}: reading goes on at ${to}`, {
      journal,
    });
    this.from = from;
    this.to = to;
  }
}
