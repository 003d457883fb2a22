// What the examples have in common as programs: usage, errors, Ctrl-C and progress.
import { BlobError } from "@x/blob-replica";

/**
 * Runs an example: its arguments are those of the command line, of which there are so many. Ctrl-C aborts the signal; a second one ends the process.
 * @param {string} usage
 * @param {{ least: number, most: number }} count
 * @param {(args: string[], signal: AbortSignal) => Promise<void>} work
 */
export async function run(usage, count, work) {
  const args = process.argv.slice(2);
  if (args.length < count.least || args.length > count.most || args.some((each) => each.startsWith("-"))) {
    console.error(`usage: node ${usage}`);
    process.exitCode = 2;
    return;
  }
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => interrupted.abort());
  try {
    await work(args, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) {
      console.error("interrupted: what was done is kept, and can be gone on with");
      process.exitCode = 130;
      return;
    }
    for (const line of saying(error)) console.error(line);
    process.exitCode = 1;
  }
}

/** @param {unknown} error */
function* saying(error) {
  if (!(error instanceof Error)) {
    yield String(error);
    return;
  }
  yield error instanceof BlobError ? `${error.code}: ${error.message}` : error.message;
  for (const { store, error: cause } of error instanceof BlobError ? error.failures : []) {
    yield `  ${store}: ${cause instanceof Error ? cause.message : cause}`;
  }
}

/** A line on stderr now and then, and never more than a few a second. */
export function progress() {
  let lastMs = performance.now();
  /** @param {() => string} line */
  return (line) => {
    if (performance.now() - lastMs < 250) return;
    lastMs = performance.now();
    console.error(line());
  };
}

/** @param {number} bytes */
export function size(bytes) {
  return bytes < 1e6 ? `${bytes} bytes` : `${(bytes / 1e6).toFixed(1)} MB`;
}
