import { openEmbeddedCoord } from "../../src/embedded.js";

// Run by the kill test in a process of its own: writes as fast as it can, and tells of each acknowledgement on stdout, one line
// each: `writer number revision;`. A value is `writer number`, so that the parent knows what should be where.

const [directory, firstNumber] = process.argv.slice(2);
const coord = await openEmbeddedCoord({ directory: directory!, walBytes: 20_000, historyRevisions: 500 });
coord.failure.addEventListener("abort", () => process.exit(coord.failure.reason.code === "fenced" ? 3 : 1));

async function write(writer: number): Promise<void> {
  for (let number = Number(firstNumber); ; number++) {
    const value = `${writer} ${number}`;
    const { revision } = await coord.txn({ then: [{ type: "put", key: `writer/${writer}`, value }] });
    process.stdout.write(`${writer} ${number} ${revision};\n`);
  }
}

await Promise.all(Array.from({ length: 16 }, (_, writer) => write(writer)));
