import { createHash } from "node:crypto";
import * as wire from "../../src/gen/protocol/protocol.js";

/** A fragment of this content, in no store. */
export function fragmentOf(
  journal: string,
  begin: bigint,
  content: string | Uint8Array,
  more: Partial<wire.Fragment> = {},
): wire.Fragment {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  const digest = createHash("sha1").update(bytes).digest();
  const empty = bytes.length === 0;
  return {
    journal,
    begin,
    end: begin + BigInt(bytes.length),
    sum: empty
      ? { part1: 0n, part2: 0n, part3: 0 }
      : {
          part1: digest.readBigUInt64BE(0),
          part2: digest.readBigUInt64BE(8),
          part3: digest.readUInt32BE(16),
        },
    compressionCodec: wire.CompressionCodec.NONE,
    backingStore: "",
    modTime: 0n,
    pathPostfix: "",
    ...more,
  };
}

/** The specification of a journal, as a broker would list it. */
export function specOf(journal: string, more: Partial<wire.JournalSpec> = {}): wire.JournalSpec {
  return {
    name: journal,
    replication: 1,
    labels: { labels: [] },
    fragment: {
      length: 1n << 20n,
      compressionCodec: wire.CompressionCodec.NONE,
      stores: [],
      refreshInterval: { seconds: 60n, nanos: 0 },
      retention: { seconds: 0n, nanos: 0 },
      flushInterval: { seconds: 0n, nanos: 0 },
      pathPostfixTemplate: "",
    },
    flags: 4,
    maxAppendRate: 0n,
    suspend: undefined,
    ...more,
  };
}
