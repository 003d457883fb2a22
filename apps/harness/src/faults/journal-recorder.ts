import { createHash, randomBytes } from "node:crypto";

/** What one record is, as text: its own name, filler, and a sum of both, on a line. */
const RECORD = /^([\w-]+) ([0-9a-f]*) ([0-9a-f]{8})$/;

/** One Append RPC, as it was seen on its way to the brokers. */
export interface RecordedRpc {
  readonly journal: string;
  /** The records that were sent, in order. Those of an RPC that failed before the commit never count. */
  readonly records: readonly string[];
  /**
   * - `committed`: the broker said OK;
   * - `refused`: the broker answered with another status, or was never told to commit: nothing of it is in the journal;
   * - `unknown`: the broker was told to commit and no answer came: all of it is in the journal, or nothing.
   */
  readonly outcome: "committed" | "refused" | "unknown";
}

/** What its caller was told about one record. */
export type RecordOutcome = "committed" | "failed";

/**
 * Remembers what was appended, record by record, what the callers were told, and which RPCs it took; then judges the bytes that
 * ended up in the journal. An append that its caller was told is committed is there once, and may be there more often only if an RPC with it
 * has an unknown outcome: at most once more for each of those. An append that failed is there at most once for each of those, so
 * never when every RPC was answered.
 */
export class AppendRecorder {
  readonly rpcs: RecordedRpc[] = [];
  readonly #told = new Map<string, Map<string, RecordOutcome | "pending">>();
  #next = 0;

  /** A new record for a journal: its bytes are to be appended as they are. The order of these calls is the order expected in the journal. */
  record(journal: string, fillerBytes = 16): { readonly name: string; readonly line: string } {
    const name = `r${this.#next++}`;
    const filler = randomBytes(fillerBytes).toString("hex");
    const records = this.#told.get(journal) ?? new Map<string, RecordOutcome | "pending">();
    this.#told.set(journal, records);
    records.set(name, "pending");
    return { name, line: `${name} ${filler} ${sumOf(`${name} ${filler}`)}\n` };
  }

  told(journal: string, name: string, outcome: RecordOutcome): void {
    this.#told.get(journal)?.set(name, outcome);
  }

  count(journal: string, outcome: RecordOutcome | "pending"): number {
    return [...(this.#told.get(journal)?.values() ?? [])].filter((each) => each === outcome).length;
  }

  /** RPCs whose outcome nobody told. */
  unknown(journal: string): readonly RecordedRpc[] {
    return this.rpcs.filter((rpc) => rpc.journal === journal && rpc.outcome === "unknown");
  }

  /** What is wrong with a journal's bytes, in sentences; nothing if all is as it was told. */
  violations(journal: string, content: Uint8Array): string[] {
    const problems: string[] = [];
    const found = recordsOf(content, (problem) => problems.push(`${journal}: ${problem}`));
    const copies = new Map<string, number>();
    for (const name of found) copies.set(name, (copies.get(name) ?? 0) + 1);
    const doubtful = new Map<string, number>();
    for (const { records } of this.unknown(journal)) {
      for (const name of records) doubtful.set(name, (doubtful.get(name) ?? 0) + 1);
    }
    const told = this.#told.get(journal) ?? new Map<string, RecordOutcome | "pending">();
    for (const [name, outcome] of told) {
      const count = copies.get(name) ?? 0;
      const most = (doubtful.get(name) ?? 0) + (outcome === "committed" ? 1 : 0);
      if (outcome === "pending") problems.push(`${journal}: nobody was told what became of ${name}`);
      if (outcome === "committed" && count === 0)
        problems.push(`${journal}: ${name} was committed and is lost`);
      if (count > most)
        problems.push(`${journal}: ${name} (${outcome}) is there ${count} times, not ${most}`);
    }
    for (const name of copies.keys()) {
      if (!told.has(name)) problems.push(`${journal}: ${name} was never appended to it`);
    }
    return [...problems, ...this.#disorder(journal, found)];
  }

  /** First appearances must be in the order in which the appends were begun. */
  #disorder(journal: string, found: readonly string[]): string[] {
    const order = new Map([...(this.#told.get(journal)?.keys() ?? [])].map((name, index) => [name, index]));
    let last = -1;
    for (const name of new Set(found)) {
      const index = order.get(name) ?? -1;
      if (index < last) return [`${journal}: ${name} came after one that was begun later`];
      last = index;
    }
    return [];
  }
}

/** The names of the records in some bytes; damaged ones are told. */
export function recordsOf(content: Uint8Array, onProblem: (problem: string) => void = () => {}): string[] {
  const text = Buffer.from(content.buffer, content.byteOffset, content.length).toString("latin1");
  const lines = text.split("\n");
  const rest = lines.pop();
  if (rest !== "") onProblem(`it ends in the middle of a record: ${JSON.stringify(rest?.slice(0, 60))}`);
  return lines.flatMap((line) => {
    const [, name = "", filler = "", sum = ""] = RECORD.exec(line) ?? [];
    if (name !== "" && sumOf(`${name} ${filler}`) === sum) return [name];
    onProblem(`a record is damaged: ${JSON.stringify(line.slice(0, 60))}`);
    return [];
  });
}

/** Where two byte strings first differ, in a sentence; undefined if they are equal. */
export function difference(read: Uint8Array, expected: Uint8Array): string | undefined {
  const length = Math.min(read.length, expected.length);
  for (let at = 0; at < length; at++) {
    if (read[at] !== expected[at])
      return `they differ from byte ${at} on, of ${read.length} and ${expected.length}`;
  }
  return read.length === expected.length ? undefined : `${read.length} bytes were read of ${expected.length}`;
}

function sumOf(text: string): string {
  return createHash("sha1").update(text).digest("hex").slice(0, 8);
}
