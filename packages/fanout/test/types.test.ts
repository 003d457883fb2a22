import { type Range, utf8Keys } from "@x/space";
import { describe, expectTypeOf, it } from "vitest";
import { type Call, type Chunk, call, createFanout, type PointFailure } from "../src/index.js";

interface Server {
  readonly name: string;
  readonly serves: Range<string>;
  readonly client: {
    get(keys: readonly string[], options: { signal: AbortSignal }): Promise<Map<string, number>>;
    stream(): AsyncIterable<{ readonly key: string }>;
  };
}

// Never run: what is looked at is whether it compiles. `tsc -p tsconfig.tests.json` does.
const _compiled = (
  servers: readonly Server[],
  hashed: readonly { serves: Range<bigint> }[],
  keys: string[],
) => {
  const fanout = createFanout();

  const got = fanout.call(keys, servers, (server, offsets, { signal }) =>
    server.client.get(
      offsets.map((offset) => keys[offset]!),
      { signal },
    ),
  );
  expectTypeOf(got).toEqualTypeOf<Call<string, Server, Map<string, number>>>();
  expectTypeOf(got.next()).resolves.toEqualTypeOf<IteratorResult<Chunk<Server, Map<string, number>>, void>>();
  expectTypeOf(got.failures).toEqualTypeOf<readonly PointFailure<string, Server>[]>();

  expectTypeOf(
    fanout.call(
      ["x"],
      () => servers,
      async (server) => server.name,
    ),
  ).toEqualTypeOf<Call<string, Server, string>>();
  expectTypeOf(
    fanout.call(
      keys,
      async () => servers,
      (server) => server.client.stream(),
    ),
  ).toEqualTypeOf<Call<string, Server, { readonly key: string }>>();

  const perPoint = fanout.call(
    keys,
    servers,
    async function* (server, offsets) {
      for (const offset of offsets) yield { offset, value: server.name.length };
    },
    { perPoint: true },
  );
  expectTypeOf(perPoint).toEqualTypeOf<Call<string, Server, number>>();
  // @ts-expect-error with perPoint the rpc yields { offset, value }
  fanout.call(keys, servers, async (server) => server.name, { perPoint: true });

  const tied = createFanout<Server, string>({ serverOf: (server) => server.name, space: utf8Keys });
  expectTypeOf(tied.call(["literal"], servers, async () => 1)).toEqualTypeOf<Call<string, Server, number>>();
  expectTypeOf(tied.call([], servers, async () => 1)).toEqualTypeOf<Call<string, Server, number>>();
  // @ts-expect-error a fanout of Servers takes no other views
  tied.call(["a"], [{ serves: utf8Keys.range("a", "b") }], async () => 1);

  // @ts-expect-error string points in views of bigints
  fanout.call(keys, hashed, async () => 1);
  // @ts-expect-error a number is no point of hash64
  fanout.call([1], hashed, async () => 1);
  // @ts-expect-error a view has a range
  fanout.call(keys, [{ name: "x" }], async () => 1);
  expectTypeOf(fanout.call([1n], hashed, async () => 1)).toEqualTypeOf<
    Call<bigint, { serves: Range<bigint> }, number>
  >();

  expectTypeOf(
    call(keys, servers, async (server) => server.name, { serverOf: (server) => server.name, timeoutMs: 5 }),
  ).toEqualTypeOf<Call<string, Server, string>>();
  // @ts-expect-error string points in views of bigints
  call(keys, hashed, async () => 1);
};

describe("types", () => {
  it("are inferred, and kinds of points do not mix", () => {
    expectTypeOf(_compiled).toBeFunction();
  });
});
