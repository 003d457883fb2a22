const QUOTE = 0x22;
const COMMA = 0x2c;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;
const NEWLINE = 0x0a;

/**
 * What it takes to parse JSON, before it is: told chunk by chunk, it counts the commas, opening brackets and line breaks that are in no string. A
 * valid text has at most one value more than that (and the names of fields).
 */
export class JsonSize {
  #values = 0;
  #isString = false;
  #isEscape = false;

  /** So far. Of a text that is not valid: up to the first line that is not. */
  get values(): number {
    return this.#values;
  }

  add(chunk: Uint8Array): void {
    let values = this.#values;
    let isString = this.#isString;
    let isEscape = this.#isEscape;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (isEscape) isEscape = false;
      else if (byte === QUOTE) isString = !isString;
      else if (isString) isEscape = byte === BACKSLASH;
      else if (byte === COMMA || byte === BRACKET || byte === BRACE || byte === NEWLINE) values += 1;
    }
    this.#values = values;
    this.#isString = isString;
    this.#isEscape = isEscape;
  }
}
