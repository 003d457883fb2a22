/** Stdout for what a command brings, NDJSON; stderr for what it tells of its progress. */

/** Resolves when everything is handed over, so that nothing is committed that was not printed. */
export function print(...values: readonly unknown[]): Promise<void> {
  if (values.length === 0) return Promise.resolve();
  const text = values.map((value) => `${JSON.stringify(value)}\n`).join("");
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/**
 * Whoever reads our output may stop before its end, as `head` does. That is no failure, and there is nobody to tell: the command ends
 * with the error of its `print`, which `isClosedStdout` knows. Without a listener Node would end the process on the spot.
 */
export function surviveClosedStdout(): void {
  process.stdout.on("error", () => {});
}

export function isClosedStdout(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return code === "EPIPE" && syscall === "write";
}

/** A line that is written over while it changes on a terminal, and written once at the end elsewhere. */
export function progress(): { show(text: string): void; end(text: string): void } {
  const overwrites = process.stderr.isTTY === true;
  return {
    show: (text) => {
      if (overwrites) process.stderr.write(`\r${text}`);
    },
    end: (text) => {
      process.stderr.write(`${overwrites ? "\r" : ""}${text}\n`);
    },
  };
}
