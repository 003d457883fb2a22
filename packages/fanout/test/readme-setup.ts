import type { Range } from "@x/space";
import { utf8Keys } from "@x/space";

const stock: ReadonlyMap<string, number> = new Map([
  ["apple", 3],
  ["banana", 7],
  ["cherry", 1],
  ["fig", 4],
  ["lemon", 9],
  ["plum", 2],
]);

export interface Server {
  readonly name: string;
  readonly serves: Range<string>;
  readonly client: {
    get(keys: readonly string[], options: { signal: AbortSignal }): Promise<ReadonlyMap<string, number>>;
    scan(range: Range<string>, options: { signal: AbortSignal }): AsyncIterable<string>;
  };
}

export function server(name: string, from: string, to: string): Server {
  const serves: Range<string> = utf8Keys.range(from, to);
  return {
    name,
    serves,
    client: {
      get: async (keys) => {
        const unknown = keys.find((key) => !utf8Keys.contains(serves, key));
        if (unknown !== undefined) throw new Error(`${name} does not have ${unknown}`);
        return new Map(keys.map((key) => [key, stock.get(key) ?? 0]));
      },
      async *scan(range) {
        for (const key of stock.keys()) if (utf8Keys.contains(range, key)) yield key;
      },
    },
  };
}
