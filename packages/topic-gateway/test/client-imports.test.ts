import { readFile } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const packages = fileURLToPath(new URL("../../", import.meta.url));

interface ImportGraph {
  /** Our own files, below `packages/`. */
  readonly files: Set<string>;
  readonly others: Set<string>;
}

/** Everything that is loaded at run time when a file is; what only types are imported from is not. */
async function importsOf(entry: string): Promise<ImportGraph> {
  const graph: ImportGraph = { files: new Set(), others: new Set() };
  const left = [entry];
  for (let file = left.pop(); file; file = left.pop()) {
    const name = relative(packages, file);
    if (graph.files.has(name)) continue;
    graph.files.add(name);
    const source = (await readFile(file, "utf8")).replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
    const found = [
      ...source.matchAll(/^(?:import|export)\s(?!type\b)[^;]*?\bfrom\s+"([^"]+)"/gm),
      ...source.matchAll(/^import\s+"([^"]+)"/gm),
      ...source.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g),
    ];
    for (const [, specifier = ""] of found) {
      if (specifier.startsWith(".")) left.push(resolve(dirname(file), specifier.replace(/\.js$/, ".ts")));
      else if (specifier.startsWith("@x/")) left.push(await sourceOf(specifier));
      else graph.others.add(specifier);
    }
  }
  return graph;
}

async function sourceOf(specifier: string): Promise<string> {
  const [, name = "", ...path] = specifier.split("/");
  const root = resolve(packages, name);
  const manifest = JSON.parse(await readFile(resolve(root, "package.json"), "utf8"));
  return resolve(root, manifest.exports[path.length > 0 ? `./${path.join("/")}` : "."]["@x/source"]);
}

const entry = (name: string): string => resolve(packages, "topic-gateway/src", name);

describe("what an application loads that imports @x/topic-gateway/client", () => {
  it("holds no server, HTTP or etcd code, and no registry", async () => {
    const { files, others } = await importsOf(entry("client.ts"));
    expect(files).toContain("topic-gateway/src/client/topic-client.ts");
    expect(files).toContain("coord/src/index.ts");
    expect(files).toContain("fanout/src/index.ts");
    expect(
      [...files].filter((file) => /server\.ts$|reflection|handler|registry|viewreg|etcd|embedded/.test(file)),
    ).toEqual([]);
    const isNodes = (name: string): boolean => name.startsWith("node:");
    expect([...others].filter((name) => !isNodes(name)).sort()).toEqual([
      "@bufbuild/protobuf/wire",
      "@grpc/grpc-js",
    ]);
    expect([...others].filter((name) => /^node:(http|https|http2|net|tls|dgram)$/.test(name))).toEqual([]);
  });

  it("is less than what the package's root has, so that this test can tell", async () => {
    const { files, others } = await importsOf(entry("index.ts"));
    expect(files).toContain("topic-gateway/src/grpc/gateway-server.ts");
    expect(files).toContain("viewreg/src/etcd.ts");
    expect(others).toContain("grpc-health-check");
    // Whoever wants etcd itself imports @x/coord/etcd.
    expect(others).not.toContain("etcd3");
  });
});
