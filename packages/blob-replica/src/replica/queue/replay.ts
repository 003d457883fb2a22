/** What records do to the queues of the stores, and what is left of them in a new file. */
import type { Entry } from "./backlog.js";
import type { Recovered, Snapshot } from "./journal.js";
import type { QueueRecord } from "./record.js";
import type { StoreQueue } from "./store-queue.js";

/** A record that was just written. Those that stores write about their own entries were done when they were noted. */
export function applyRecord(stores: readonly StoreQueue[], record: QueueRecord): void {
  switch (record.kind) {
    case "queued":
      stores.forEach((store, i) => {
        if (record.stores & (1 << i)) store.backlog.add(record.seq, record.ref, record.bytes, record.wallMs);
        if (record.dropped & (1 << i)) store.dropped++;
      });
      return;
    case "forgotten":
      for (const { backlog } of stores) {
        const entry = backlog.find(record.ref);
        if (entry) backlog.remove(entry);
      }
      return;
    case "synced": {
      const store = stores[record.store];
      if (store) store.synced = Math.max(store.synced, Math.min(record.count, store.dropped));
      return;
    }
    default:
  }
}

/** What an earlier run left. There is a store for each name in the file. Returns the next number of a put. */
export function recoverInto(stores: readonly StoreQueue[], recovered: Recovered): number {
  const { header, records, damaged } = recovered;
  let { nextSeq } = header;
  // The file numbers the stores in its own order.
  const numbers = header.table.map((row) => {
    const number = stores.findIndex(({ name }) => name === row.name);
    stores[number]!.dropped = row.dropped;
    stores[number]!.synced = row.synced;
    return number;
  });
  const mask = (bits: number) =>
    numbers.reduce((sum, number, i) => (bits & (1 << i) ? sum | (1 << number) : sum), 0);
  const bySeq = stores.map(() => new Map<number, Entry>());
  for (const record of records) {
    if (record.kind === "queued") {
      nextSeq = Math.max(nextSeq, record.seq + 1);
      const waiting = mask(record.stores);
      applyRecord(stores, { ...record, stores: waiting, dropped: mask(record.dropped) });
      stores.forEach(({ backlog }, i) => {
        const entry = waiting & (1 << i) ? backlog.find(record.ref) : undefined;
        if (entry) bySeq[i]!.set(record.seq, entry);
      });
      continue;
    }
    if (record.kind === "forgotten") {
      applyRecord(stores, record);
      continue;
    }
    const number = numbers[record.store];
    if (number === undefined) continue;
    if (record.kind === "synced") {
      applyRecord(stores, { ...record, store: number });
      continue;
    }
    const { backlog } = stores[number]!;
    if (record.kind === "lost") {
      const entry = bySeq[number]!.get(record.seq);
      // A put that came while this was being written counts.
      if (entry && entry.lastSeq <= record.seq + record.count && backlog.remove(entry))
        stores[number]!.dropped++;
      continue;
    }
    const { count } = record;
    for (let seq = record.seq; seq < record.seq + count; seq++) {
      const entry = bySeq[number]!.get(seq);
      if (entry === undefined) continue;
      bySeq[number]!.delete(seq);
      backlog.remove(entry);
    }
  }
  // Nobody knows which writes those were.
  for (const store of stores) store.dropped += damaged;
  return nextSeq;
}

/** All that a restart has to know. */
export function snapshotOf(stores: readonly StoreQueue[], nextSeq: number): Snapshot {
  const bits = new Map<number, { entry: Entry; stores: number }>();
  stores.forEach(({ backlog }, i) => {
    for (const entry of backlog.entries()) {
      const known = bits.get(entry.seq);
      if (known) known.stores |= 1 << i;
      else bits.set(entry.seq, { entry, stores: 1 << i });
    }
  });
  const records = [...bits.values()]
    .sort((a, b) => a.entry.seq - b.entry.seq)
    .map(({ entry: { seq, ref, bytes, wallMs }, stores: waiting }) => ({
      kind: "queued" as const,
      seq,
      ref,
      bytes,
      wallMs,
      stores: waiting,
      dropped: 0,
    }));
  const table = stores.map(({ name, dropped, synced }) => ({ name, dropped, synced }));
  return { header: { nextSeq, table }, records };
}
