import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const packageRoot = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Writes the sources that a child process needs into a folder, as JavaScript: what is tested is what is in the sources, whether or
 * not somebody has built them.
 */
export async function transpileInto(folder: string, program: string): Promise<string> {
  const names = await readdir(join(packageRoot, "src"), { recursive: true });
  const sources = names.filter((name) => name.endsWith(".ts")).map((name) => join(packageRoot, "src", name));
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  for (const source of [...sources, program]) {
    const target = outputOf(folder, source);
    await mkdir(dirname(target), { recursive: true });
    const { outputText } = ts.transpileModule(await readFile(source, "utf8"), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
    });
    await writeFile(target, outputText);
  }
  return outputOf(folder, program);
}

function outputOf(folder: string, source: string): string {
  return join(folder, relative(packageRoot, source)).replace(/\.ts$/, ".js");
}
