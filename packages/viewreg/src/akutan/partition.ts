import { infinity, type Range } from "@x/space";
import { RegistryError } from "../errors.js";
import { type CarouselHashPartitionRequest, FactKeyEncoding } from "../gen/rpc/views.js";

/** Which facts a server hosts: those whose hash is in a range of 64-bit numbers. */
export interface FactPartition {
  /** What is hashed: `PO` the predicate and the object, `SP` the subject and the predicate. */
  readonly hash: "PO" | "SP";
  /** From `start`, up to and without `end`. */
  readonly hashRange: Range<bigint>;
}

/** @throws RegistryError "bad-answer" */
export function partitionFromWire(wire: CarouselHashPartitionRequest | undefined): FactPartition {
  const { start = 0n, end = 0n, encoding = FactKeyEncoding.KeyEncodingUnknown } = wire ?? {};
  const hash =
    encoding === FactKeyEncoding.KeyEncodingPOS
      ? "PO"
      : encoding === FactKeyEncoding.KeyEncodingSPO
        ? "SP"
        : undefined;
  if (hash === undefined)
    throw new RegistryError(
      "bad-answer",
      `the server's partition has key encoding ${encoding}; known are ${FactKeyEncoding.KeyEncodingSPO} (SPO) and ${FactKeyEncoding.KeyEncodingPOS} (POS)`,
    );
  if (end !== 0n && start >= end)
    throw new RegistryError("bad-answer", `the server's partition from ${start} to ${end} has no hash in it`);
  return Object.freeze({ hash, hashRange: Object.freeze({ from: start, to: end === 0n ? infinity : end }) });
}
