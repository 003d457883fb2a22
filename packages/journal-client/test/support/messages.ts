import type { Envelope } from "../../src/messages/message.js";
import { type ProducerId, producerId } from "../../src/messages/producer.js";
import { Flags } from "../../src/messages/uuid.js";
import type { JournalSpec } from "../../src/protocol/journal-spec.js";

export function specNamed(name: string): JournalSpec {
  return {
    name,
    replication: 1,
    labels: [{ name: "content-type", value: "application/x-ndjson" }],
    fragment: {
      length: 1n << 20n,
      compressionCodec: "NONE",
      stores: [],
      refreshIntervalMs: 60_000,
      retentionMs: 0,
      flushIntervalMs: 0,
      pathPostfixTemplate: "",
    },
    flags: [],
    maxAppendRate: 0n,
  };
}

/** A, B, C... as producers. */
export function producerNamed(letter: string): ProducerId {
  return producerId(letter.charCodeAt(0).toString(16).padStart(12, "0"));
}

/** Messages of one journal as text: "A1 outside", "A2 continue", "B7 ack". Each has 100 bytes. */
export interface Written {
  readonly text: string;
}

const roles: Record<string, number> = {
  outside: Flags.OUTSIDE_TXN,
  continue: Flags.CONTINUE_TXN,
  ack: Flags.ACK_TXN,
};

export const messageBytes = 100n;

export function envelopes(texts: readonly string[], journal = "a/journal"): Envelope<Written>[] {
  const spec = specNamed(journal);
  return texts.map((text, index) => {
    const [, letter = "", clock = "", role = ""] = /^([A-Z])(\d+) (\w+)$/.exec(text) ?? [];
    const flags = roles[role] ?? Number(role);
    const begin = BigInt(index) * messageBytes;
    const uuid = { producer: producerNamed(letter), clock: BigInt(clock), flags };
    return { journal: spec, begin, end: begin + messageBytes, message: { text }, uuid };
  });
}
