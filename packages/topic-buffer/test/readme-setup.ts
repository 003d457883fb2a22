import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEmbeddedCoord } from "@x/coord/embedded";

/** What the README's example takes as given. */
export const directory: string = await mkdtemp(join(tmpdir(), "topic-buffer-readme-"));
export const coord: Awaited<ReturnType<typeof openEmbeddedCoord>> = await openEmbeddedCoord({
  directory: `${directory}/coord`,
});
export const printed: string[] = [];
export function print(line: string): void {
  printed.push(line);
}
