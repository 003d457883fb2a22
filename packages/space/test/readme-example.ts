import { evenPartitions, hash16, infinity, murmur3Mod, type Range } from "@x/space";

// Four shards share the hash space. Which one has this key?
const shards = evenPartitions(hash16, 4);
for (const key of ["key-1", "hello"]) {
  const index = shards.find(murmur3Mod(key, 65_535));
  const range = shards.get(index)!;
  console.log(`${key} is in shard ${index}, ${hash16.formatRange(range)}`);
}

// A server says what it serves. Which part of each shard is that?
const served: Range<number> = { from: 20_000, to: infinity };
for (const range of shards) {
  const part = hash16.intersect(range, served);
  console.log(`of ${hash16.formatRange(range)} it has ${part ? hash16.formatRange(part) : "nothing"}`);
}
