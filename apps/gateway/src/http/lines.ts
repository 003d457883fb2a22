export interface Line {
  readonly text: string;
  /** Counted from 1 over all lines, also the empty ones. */
  readonly number: number;
}

const NEWLINE = 10;

/**
 * The lines of a text that are not empty, one after the other: whoever stops early has not paid for the rest. A line of nothing but spaces, tabs
 * and carriage returns is empty.
 */
export function* filledLines(text: string): Generator<Line, void, undefined> {
  let number = 1;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === NEWLINE) {
      number += 1;
      from = at + 1;
    } else if (code !== 32 && code !== 9 && code !== 13) {
      const end = text.indexOf("\n", at);
      if (end < 0) {
        yield { text: text.slice(from), number };
        return;
      }
      yield { text: text.slice(from, end), number };
      at = end;
      number += 1;
      from = end + 1;
    }
  }
}
