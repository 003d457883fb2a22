import { evenPartitions, hash64, murmur3Hash64, type Range, RangeIndex, utf8Keys } from "@x/space";
import type { BenchContext, Benchmark, Goal, Report, Row } from "../benchmark.js";
import { type Measured, toRow } from "../rows.js";
import { fullTiming, heapGrowth, inTurns, quickTiming, type Repeat } from "./windows.js";

const BENCH = "space";
/** A power of two, so that a probe is chosen by a mask. */
const PROBES = 65_536;
const HEAP_FINDS = 100_000;

export const spaceBenchmark: Benchmark = {
  name: BENCH,
  about: "Lookups in hash and key spaces, one process, one thread.",
  readmes: ["packages/space/README.md"],
  run: measure,
};

async function measure(context: BenchContext): Promise<Report> {
  const keys = Array.from({ length: PROBES }, (_, index) => `key-${index}`);
  const points = keys.map((key) => murmur3Hash64(key));
  const rows: Row[] = [];
  const parts: readonly (readonly [string, () => Promise<readonly Row[]>])[] = [
    ["find in 1,000 partitions", () => find("1,000", 1000, points, context)],
    ["find in 1,000,000 partitions", () => find("1,000,000", 1_000_000, points, context)],
    ["RangeIndex of 10,000", () => stab("10,000", 10_000, points, context)],
    ["RangeIndex of 1,000,000", () => stab("1,000,000", 1_000_000, points, context)],
    ["keys", () => ofKeys(keys, context)],
  ];
  for (const [name, run] of parts) {
    if (context.only !== undefined && !name.includes(context.only)) continue;
    context.say(name);
    rows.push(...(await run()));
  }
  return {
    rows,
    setup: [
      "Partitions are even, of `hash64`; 65,536 probes are the hashes of `key-0` and so on.",
      "A textbook binary search: over an array of the starts, `bigint`s, with `<=`.",
      "Heap growth is that of `used_heap_size` over 100,000 finds or visits, in windows without a collection.",
      "A `RangeIndex` has ranges that start anywhere and are 0 to 10 times as long as 1/n of the space: a point is in about 5 of them.",
      "Linear scan: two comparisons of `bigint`s for each range of an array.",
      "`Buffer.compare` is given the strings, so it encodes both first.",
    ],
    notes: [],
    failed: false,
  };
}

function textbook(starts: readonly bigint[]): (point: bigint) => number {
  return (point) => {
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= point) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
}

async function find(
  name: string,
  count: number,
  points: readonly bigint[],
  context: BenchContext,
): Promise<readonly Row[]> {
  const partitions = evenPartitions(hash64, count);
  const search = textbook([...partitions.startPoints]);
  for (const point of points) {
    if (partitions.find(point) !== search(point))
      throw new Error(`${name}: the two searches differ at ${point}`);
  }
  // Each contender has a loop of its own, so that the engine does not take one's types for the other's.
  const ours: Repeat = (times) => {
    let sum = 0;
    for (let index = 0; index < times; index++) sum += partitions.find(points[index & (PROBES - 1)]!);
    return sum;
  };
  const theirs: Repeat = (times) => {
    let sum = 0;
    for (let index = 0; index < times; index++) sum += search(points[index & (PROBES - 1)]!);
    return sum;
  };
  const compared = await compare(
    { metric: `find in ${name} partitions`, goal: { text: ">= 5x as fast", atLeast: 5 } },
    ours,
    { peer: "textbook binary search", theirs },
    context,
  );
  const growth = toRow({
    bench: BENCH,
    metric: `find in ${name} partitions: heap growth`,
    unit: "bytes/find",
    better: "lower",
    ours: heapGrowth(ours, HEAP_FINDS, 9),
    goal: { text: "no allocation (< 0.1)", atMost: 0.1 },
  });
  return [compared, growth];
}

async function stab(
  name: string,
  count: number,
  points: readonly bigint[],
  context: BenchContext,
): Promise<readonly Row[]> {
  const index = new RangeIndex<bigint, number>(hash64);
  const share = (1n << 64n) / BigInt(count);
  const ranges = Array.from(
    { length: count },
    (_, number): { readonly from: bigint; readonly to: bigint } => {
      const from = murmur3Hash64(`start-${number}`);
      const to = from + (share * BigInt(number % 1000)) / 100n;
      return { from, to: to < 1n << 64n ? to : (1n << 64n) - 1n };
    },
  );
  for (const [number, range] of ranges.entries()) index.add(range, number);
  let hits = 0;
  const visitor = (): void => void hits++;
  const visit: Repeat = (times) => {
    for (let probe = 0; probe < times; probe++) index.visit(points[probe & (PROBES - 1)]!, visitor);
    return hits;
  };
  const scan: Repeat = (times) => {
    let found = 0;
    for (let probe = 0; probe < times; probe++) {
      const point = points[probe & (PROBES - 1)]!;
      for (const { from, to } of ranges) if (from <= point && point < to) found++;
    }
    return found;
  };
  hits = 0;
  if (visit(20) !== scan(20)) throw new Error(`${name}: the index and the scan differ`);
  const change: Repeat = (times) => {
    for (let number = 0; number < times; number++) {
      const range: Range<bigint> = ranges[(number * 7919) % count]!;
      index.delete(index.add(range, number));
    }
    return index.size;
  };
  return [
    await compare(
      { metric: `RangeIndex of ${name}: visit all ranges around a point` },
      visit,
      { peer: "linear scan", theirs: scan },
      context,
    ),
    toRow({
      bench: BENCH,
      metric: `RangeIndex of ${name}: visit: heap growth`,
      unit: "bytes/visit",
      better: "lower",
      ours: heapGrowth(visit, HEAP_FINDS, 9),
      goal: { text: "no allocation (< 0.1)", atMost: 0.1 },
    }),
    await compare({ metric: `RangeIndex of ${name}: add and delete` }, change, undefined, context),
  ];
}

async function ofKeys(keys: readonly string[], context: BenchContext): Promise<readonly Row[]> {
  const compareKeys: Repeat = (times) => {
    let sum = 0;
    for (let index = 0; index < times; index++) {
      sum += utf8Keys.compare(keys[index & (PROBES - 1)]!, keys[(index * 7) & (PROBES - 1)]!);
    }
    return sum;
  };
  const compareBuffers: Repeat = (times) => {
    let sum = 0;
    for (let index = 0; index < times; index++) {
      const other = Buffer.from(keys[(index * 7) & (PROBES - 1)]!);
      sum += Buffer.compare(Buffer.from(keys[index & (PROBES - 1)]!), other);
    }
    return sum;
  };
  const hash: Repeat = (times) => {
    let sum = 0;
    for (let index = 0; index < times; index++)
      sum += murmur3Hash64(keys[index & (PROBES - 1)]!) > 0n ? 1 : 0;
    return sum;
  };
  return [
    await compare(
      { metric: "utf8Keys: compare two keys" },
      compareKeys,
      { peer: "Buffer.compare", theirs: compareBuffers },
      context,
    ),
    await compare({ metric: "murmur3Hash64 of a key of 9 characters" }, hash, undefined, context),
  ];
}

/** One row in thousands a second. */
async function compare(
  { metric, goal }: { readonly metric: string; readonly goal?: Goal },
  ours: Repeat,
  other: { readonly peer: string; readonly theirs: Repeat } | undefined,
  context: BenchContext,
): Promise<Row> {
  const timing = context.quick ? quickTiming : fullTiming;
  const [own = [], others] = await inTurns(other ? [ours, other.theirs] : [ours], timing, context);
  const rate = (ns: number): number => 1e6 / ns;
  const measured: Measured = {
    bench: BENCH,
    metric,
    unit: "1,000/s",
    better: "higher",
    ours: own.map(rate),
    ...(other && others ? { peer: other.peer, theirs: others.map(rate) } : {}),
    ...(goal ? { goal } : {}),
  };
  return toRow(measured);
}
