import { BlobError, type BlobErrorCode } from "../errors.js";

/** Of messages and pieces with nothing in them. Neither of our sides sends any. */
const mostInARow = 1000;

/** Ends a call whose other side sends and sends, and brings nothing: it would keep the call for ever, as no silence does. */
export class Idle {
  readonly #code: BlobErrorCode;
  readonly #who: string;
  readonly #most: number;
  #inARow = 0;

  constructor(code: BlobErrorCode, who: string, most: number = mostInARow) {
    this.#code = code;
    this.#who = who;
    this.#most = most;
  }

  /** `brings`: this one had something in it. @throws BlobError with the code, for one too many that had not */
  saw(brings: boolean): void {
    if (brings) {
      this.#inARow = 0;
    } else if (++this.#inARow > this.#most) {
      const what = `sent ${this.#inARow} messages or pieces in a row with nothing in them`;
      throw new BlobError(this.#code, `${this.#who} ${what}: at most ${this.#most} are taken`);
    }
  }
}
