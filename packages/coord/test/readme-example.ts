import { follow, openSession } from "@x/coord";
import { openEmbeddedCoord } from "@x/coord/embedded";

/** The example of the README, as it stands there. A test runs it. */
export async function example(directory: string, print: (line: string) => void): Promise<void> {
  // example:begin
  const coord = await openEmbeddedCoord({ directory });
  const session = await openSession(coord, { ttlMs: 10_000 });

  // Whoever creates the key leads, for as long as his session lives.
  const { succeeded } = await coord.txn({
    compare: [{ key: "/leader", target: "create", op: "=", value: 0n }],
    then: [{ type: "put", key: "/leader", value: "node-1", lease: session.leaseId }],
  });
  if (succeeded && session.isAlive()) print("I lead");

  for await (const { revision, events } of follow(coord, { prefix: "/leader" })) {
    for (const event of events) print(`${revision} ${event.type}`);
    if (events.some((event) => event.type === "delete")) break;
    await session.close(); // gives the leadership back
  }
  await coord.close();
  // example:end
}
