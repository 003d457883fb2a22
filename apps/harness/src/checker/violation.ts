/** The numbers of the invariants in the description of the topic protocol. */
export type Invariant = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12;

/** A promise that a history breaks. */
export interface Violation {
  readonly invariant: Invariant;
  readonly message: string;
  /** The parts of the history that prove it. */
  readonly evidence: unknown;
}

/** One line for people. */
export function formatViolation({ invariant, message, evidence }: Violation): string {
  const shown = JSON.stringify(evidence, (_, value) => (typeof value === "bigint" ? String(value) : value));
  return `invariant ${invariant}: ${message} ${shown.slice(0, 600)}`;
}
