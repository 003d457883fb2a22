import { createFanout, partition } from "@x/fanout";
import { type Server, server } from "./readme-setup.js";

export async function example(print: (line: string) => void): Promise<void> {
  // example:begin
  // Servers say what they serve. Each key is on two of these.
  const servers: Server[] = [server("one", "a", "m"), server("two", "c", "z"), server("three", "a", "z")];
  const fanout = createFanout<Server>({ serverOf: ({ name }) => name });

  // Some keys: each goes to a server that has it, with as few requests as that takes.
  const keys = ["plum", "apple", "fig"];
  const call = fanout.call(
    keys,
    servers,
    ({ client }, offsets, { signal }) =>
      client.get(
        offsets.map((offset) => keys[offset]!),
        { signal },
      ),
    { timeoutMs: 2000 },
  );
  for await (const { result } of call) for (const [key, count] of result) print(`${key}: ${count}`);

  // A whole range: cut where servers begin and end, so that each part is on one server as a whole.
  const parts = partition({ from: "b", to: "n" }, servers);
  const scan = fanout.call(parts.startPoints, servers, async function* ({ client }, offsets, { signal }) {
    for (const offset of offsets) yield* client.scan(parts.get(offset)!, { signal });
  });
  for await (const { result } of scan) print(result);
  // example:end
}
