import { readFile, rename, writeFile } from "node:fs/promises";

/**
 * Replaces what is between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.
 * @returns false, having done nothing, if there is no such file or it lacks the markers
 */
export async function rewriteFigures(path: string, name: string, figures: string): Promise<boolean> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  const rewritten = text === undefined ? undefined : replaceBetween(text, name, figures);
  if (rewritten === undefined) return false;
  // A rename, so that nobody ever sees half a README.
  await writeFile(`${path}.new`, rewritten);
  await rename(`${path}.new`, path);
  return true;
}

/** Undefined if the markers are not there, in this order. */
export function replaceBetween(text: string, name: string, figures: string): string | undefined {
  const opening = `<!-- bench:${name} -->`;
  const start = text.indexOf(opening);
  if (start < 0) return undefined;
  const end = text.indexOf(`<!-- /bench:${name} -->`, start);
  if (end < 0) return undefined;
  return `${text.slice(0, start + opening.length)}\n${figures}\n${text.slice(end)}`;
}
