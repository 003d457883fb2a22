import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/**
 * A program and the sources of packages that it needs, as one file of CommonJS: what runs is what is in the sources, whether or not somebody has built them, and a process
 * starts in half the time that it needs to find and read a hundred modules.
 * @param packages the entry of each package, by its name
 */
export async function inOneFile(program: URL, packages: Readonly<Record<string, URL>>): Promise<string> {
  const modules = new Map<string, string>();
  const add = async (file: URL): Promise<void> => {
    if (modules.has(file.href)) return;
    modules.set(file.href, ""); // they may import one another
    const imports: URL[] = [];
    const { outputText } = ts.transpileModule(await readFile(file, "utf8"), {
      fileName: basename(fileURLToPath(file)).replace(/\.mjs$/, ".ts"),
      compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 },
    });
    const code = outputText.replace(/\brequire\("([^"]+)"\)/g, (call: string, name: string) => {
      if (name.startsWith("node:")) return call;
      const imported = name.startsWith(".") ? new URL(name.replace(/\.js$/, ".ts"), file) : packages[name];
      if (imported === undefined)
        throw new Error(`${file} imports ${name}, which is in none of the packages`);
      imports.push(imported);
      return `load(${JSON.stringify(imported.href)})`;
    });
    modules.set(file.href, code);
    for (const each of imports) await add(each);
  };
  await add(program);
  const table = [...modules].map(([name, code]) => `${JSON.stringify(name)}(exports) {\n${code}\n}`);
  return `"use strict";
const modules = {
${table.join(",\n")}
};
const loaded = {};
function load(name) {
  if (loaded[name] === undefined) modules[name]((loaded[name] = {}));
  return loaded[name];
}
load(${JSON.stringify(program.href)});
`;
}
