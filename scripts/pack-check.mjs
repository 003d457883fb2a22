// Installs each package alone, as a stranger would: packed, by npm, into an empty folder, first without its optional
// peers. The root must import and type-check there; then every other entry point, with the peers that it turns out to need.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readJson, root } from "./lib/repo.mjs";
import { report } from "./lib/report.mjs";
import { mapLimited, npmEnv, run } from "./lib/run.mjs";
import { withTarballs } from "./lib/tarballs.mjs";

/** @typedef {import("./lib/tarballs.mjs").Packed} Packed */

const expected = [
  /^package\.json$/,
  /^(README|CHANGELOG|PROTOCOL)\.md$/,
  /^LICENSE$/,
  /^src\/.+\.ts$/,
  /^proto\/.+\.proto$/,
  /^dist\/.+\.(js|d\.ts)(\.map)?$/,
];
const nodeTypes = readJson(join(root, "node_modules/@types/node/package.json")).version;

/** @type {string[]} */
const problems = [];

/**
 * @param {Packed} packed
 * @param {string} what
 */
function problem({ path }, what) {
  problems.push(`${path}: ${what.trimEnd()}`);
}

/**
 * What the tarball holds and says of itself.
 *
 * @param {Packed} packed
 */
function checkContent(packed) {
  const { files, manifest } = packed;
  for (const file of files) {
    const unexpected =
      !expected.some((pattern) => pattern.test(file)) || /(^|\/)(test|fixtures)\/|\.test\./.test(file);
    if (unexpected) problem(packed, `packs ${file}, which nobody who installs it needs`);
    const source = file.replace(/^dist\/(.+?)(\.d\.ts|\.js)(\.map)?$/, "src/$1.ts");
    if (source !== file && !files.includes(source))
      problem(packed, `packs ${file}, whose source is gone: remove dist and .turbo`);
  }
  for (const file of ["README.md", "LICENSE"]) if (!files.includes(file)) problem(packed, `packs no ${file}`);
  const text = JSON.stringify(manifest);
  for (const trace of ["@x/source", '"workspace:', '"catalog:'])
    if (text.includes(trace))
      problem(packed, `the packed package.json still holds ${trace.replace('"', "")}`);
  for (const target of targets(manifest.exports))
    if (!files.includes(target.replace(/^\.\//, "")))
      problem(packed, `exports ${target}, which is not packed`);
}

/**
 * @param {unknown} exported
 * @returns {string[]}
 */
function targets(exported) {
  if (typeof exported === "string") return [exported];
  return Object.values(Object(exported)).flatMap(targets);
}

/**
 * A package and all of ours that it depends on.
 *
 * @param {Packed} packed
 * @param {Packed[]} all
 * @returns {Packed[]}
 */
function closure(packed, all) {
  const found = new Set([packed]);
  for (const { manifest } of found) {
    const names = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
    for (const other of all) if (names.includes(other.name)) found.add(other);
  }
  return [...found];
}

/**
 * The optional peers of a package and of those below it, which nothing there needs in every case.
 *
 * @param {Packed[]} family
 * @returns {Record<string, string>}
 */
function optionalPeers(family) {
  /** @type {Record<string, string>} */
  const optional = {};
  const needed = new Set();
  for (const { manifest } of family) {
    for (const name of Object.keys(manifest.dependencies ?? {})) needed.add(name);
    for (const [name, range] of Object.entries(manifest.peerDependencies ?? {})) {
      if (manifest.peerDependenciesMeta?.[name]?.optional) optional[name] = range;
      else needed.add(name);
    }
  }
  return Object.fromEntries(Object.entries(optional).filter(([name]) => !needed.has(name)));
}

/**
 * Imports entry points one after the other in one process, and says of each what went wrong.
 *
 * @param {string} folder
 * @param {string[]} specifiers
 * @returns {Promise<Map<string, string>>} what failed, by specifier; under "" what was wrong with the process itself
 */
async function importAll(folder, specifiers) {
  const program = `const failed = [];
for (const specifier of ${JSON.stringify(specifiers)})
  await import(specifier).catch((error) => failed.push([specifier, String(error?.stack ?? error)]));
console.log(JSON.stringify(failed));
`;
  writeFileSync(join(folder, "import.mjs"), program);
  // A process that hangs here has an import with a side effect: a timer, a socket.
  const { code, output } = await run(process.execPath, ["import.mjs"], {
    cwd: folder,
    env: npmEnv(),
    timeoutMs: 60_000,
  });
  try {
    if (code === 0) return new Map(JSON.parse(output));
  } catch {
    // something else was printed on import: said below
  }
  return new Map([
    ["", `importing ${specifiers.join(", ")} did not end silently (exit code ${code})\n${output}`],
  ]);
}

/**
 * @param {string} folder
 * @param {string[]} specifiers
 * @param {boolean} skipLibCheck
 */
function typeCheck(folder, specifiers, skipLibCheck) {
  const lines = specifiers.map(
    (specifier, index) => `export * as entry${index} from ${JSON.stringify(specifier)};\n`,
  );
  writeFileSync(join(folder, "main.ts"), lines.join(""));
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "es2023",
    lib: ["es2023"],
    module: "nodenext",
    types: ["node"],
    skipLibCheck,
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["main.ts"] }));
  return run("tsc", ["-p", folder], { cwd: folder });
}

/**
 * @param {string} folder
 * @param {string[]} [extra]
 */
function npmInstall(folder, extra = []) {
  const args = [
    "install",
    ...extra,
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
    "--loglevel=error",
  ];
  return run("npm", args, { cwd: folder, env: npmEnv() });
}

/**
 * @param {Packed} packed
 * @param {Packed[]} all
 * @param {string} scratch
 */
async function checkInstalled(packed, all, scratch) {
  const family = closure(packed, all);
  const folder = join(scratch, "installed", packed.path.replace("/", "-"));
  mkdirSync(folder, { recursive: true });
  const ours = family.filter((other) => other !== packed);
  const consumer = {
    private: true,
    type: "module",
    dependencies: { [packed.name]: `file:${packed.file}` },
    devDependencies: { "@types/node": nodeTypes },
    overrides: Object.fromEntries(ours.map(({ name, file }) => [name, `file:${file}`])),
  };
  writeFileSync(join(folder, "package.json"), JSON.stringify(consumer));
  const installing = await npmInstall(folder);
  if (installing.code !== 0) return problem(packed, `npm install failed\n${installing.output}`);

  const installed = readJson(join(folder, "node_modules", ".package-lock.json")).packages;
  const peers = optionalPeers(family);
  for (const { name } of family) {
    if (name in peers) continue;
    const places = Object.entries(installed).filter(([place]) => place.endsWith(`node_modules/${name}`));
    const strange = places.length !== 1 || !String(places[0]?.[1].resolved).startsWith("file:");
    if (strange) problem(packed, `${name} was not installed once and from its tarball`);
  }
  for (const name of Object.keys(peers))
    if (existsSync(join(folder, "node_modules", name)))
      problem(packed, `${name} is optional, and was installed`);

  if (packed.entries.length === 0) return;
  if (!packed.entries.includes(".")) return problem(packed, 'has code, and no root entry point "."');

  const wrong = await importAll(folder, [packed.name]);
  for (const reason of wrong.values()) problem(packed, `the root cannot be imported alone\n${reason}`);
  const types = await typeCheck(folder, [packed.name], false);
  if (types.code !== 0) problem(packed, `the types of the root are wrong alone\n${types.output}`);

  const others = packed.entries.filter((entry) => entry !== ".").map((entry) => packed.name + entry.slice(1));
  if (others.length === 0) return;
  const failed = await importAll(folder, others);
  const waiting = [...failed].filter(([, reason]) => missingPeer(reason, peers));
  for (const [specifier, reason] of failed)
    if (!missingPeer(reason, peers)) problem(packed, `${specifier} cannot be imported\n${reason}`);

  if (waiting.length > 0) {
    const tarballs = new Map(ours.map(({ name, file }) => [name, `file:${file}`]));
    const wanted = Object.entries(peers).map(([name, range]) => `${name}@${tarballs.get(name) ?? range}`);
    // npm takes no override for what it is asked for by name.
    for (const name of Object.keys(peers)) delete consumer.overrides[name];
    writeFileSync(join(folder, "package.json"), JSON.stringify(consumer));
    const adding = await npmInstall(folder, wanted);
    if (adding.code !== 0) return problem(packed, `npm install ${wanted.join(" ")} failed\n${adding.output}`);
    const still = await importAll(
      folder,
      waiting.map(([specifier]) => specifier),
    );
    for (const [specifier, reason] of still)
      problem(packed, `${specifier} cannot be imported with its peers\n${reason}`);
  }
  const allTypes = await typeCheck(folder, others, true);
  if (allTypes.code !== 0) problem(packed, `the types of ${others.join(", ")} are wrong\n${allTypes.output}`);
}

/**
 * The optional peer for want of which an import failed.
 *
 * @param {string} reason
 * @param {Record<string, string>} peers
 */
function missingPeer(reason, peers) {
  const found = /Cannot find package '([^']+)'/.exec(reason)?.[1] ?? "";
  return Object.keys(peers).find((name) => found === name || found.startsWith(`${name}/`));
}

const checked = await withTarballs(async (packages, scratch) => {
  for (const packed of packages) checkContent(packed);
  await mapLimited(packages, 2, (packed) => checkInstalled(packed, packages, scratch));
  return packages.map(({ name, entries }) => `${name} (${entries.length})`);
});

report(problems, `installed alone, with this many entry points: ${checked.join(", ")}`);
