// Looks for time, chance, timers and the process in the sources of the packages. They come from outside, as ports, so
// that everything can run on a simulated clock from one seed; only src/system.ts of a package wires the real ones.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { filesBelow, workspaces } from "./lib/repo.mjs";
import { report } from "./lib/report.mjs";

const globals = new Set([
  "setTimeout",
  "setInterval",
  "setImmediate",
  "clearTimeout",
  "clearInterval",
  "clearImmediate",
  "performance",
  "process",
]);
const members = new Set([
  "Date.now",
  "Math.random",
  "crypto.randomUUID",
  "crypto.getRandomValues",
  "AbortSignal.timeout",
]);
const modules = /^(node:)?(timers|timers\/promises|process|perf_hooks)$/;
const chance = new Set([
  "randomUUID",
  "randomBytes",
  "randomInt",
  "randomFillSync",
  "getRandomValues",
  "webcrypto",
]);

/**
 * @param {ts.Node} node
 * @returns {string | undefined} what the node reads, if it may not
 */
function offence(node) {
  if (ts.isPropertyAccessExpression(node)) {
    const object = node.expression.getText();
    const path = `${object.replace(/^(globalThis|window|self)\./, "")}.${node.name.text}`;
    if (members.has(path)) return path;
    if (object === "globalThis" && globals.has(node.name.text)) return `globalThis.${node.name.text}`;
  }
  if (ts.isNewExpression(node) && node.expression.getText() === "Date" && !node.arguments?.length)
    return "new Date()";
  if (
    ts.isImportDeclaration(node) &&
    ts.isStringLiteral(node.moduleSpecifier) &&
    !node.importClause?.isTypeOnly
  ) {
    const from = node.moduleSpecifier.text;
    if (modules.test(from)) return `import from "${from}"`;
    const names = node.importClause?.namedBindings;
    if (/^(node:)?crypto$/.test(from) && names && ts.isNamedImports(names)) {
      const drawn = names.elements.find((element) => chance.has((element.propertyName ?? element.name).text));
      if (drawn) return `import of ${drawn.getText()}`;
    }
  }
  if (ts.isIdentifier(node) && globals.has(node.text) && isReference(node)) return node.text;
  return undefined;
}

/**
 * Whether an identifier is read as a value of its own: not a member of something, not a name that is being declared.
 *
 * @param {ts.Identifier} node
 */
function isReference(node) {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isTypeQueryNode(parent) || ts.isQualifiedName(parent) || ts.isTypeReferenceNode(parent))
    return false;
  if (ts.isShorthandPropertyAssignment(parent)) return true;
  if (ts.isBindingElement(parent) || ts.isVariableDeclaration(parent)) return parent.initializer === node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  const declares =
    ts.isMethodDeclaration(parent) ||
    ts.isMethodSignature(parent) ||
    ts.isPropertySignature(parent) ||
    ts.isPropertyDeclaration(parent) ||
    ts.isFunctionDeclaration(parent) ||
    ts.isParameter(parent) ||
    ts.isGetAccessor(parent) ||
    ts.isImportSpecifier(parent) ||
    ts.isExportSpecifier(parent);
  return !declares || ("initializer" in parent && parent.initializer === node);
}

/** @type {string[]} */
const problems = [];
let looked = 0;

for (const { dir, path } of workspaces("packages")) {
  for (const file of filesBelow(join(dir, "src"))) {
    if (!file.endsWith(".ts") || file === "system.ts") continue;
    looked += 1;
    const source = ts.createSourceFile(
      file,
      readFileSync(join(dir, "src", file), "utf8"),
      ts.ScriptTarget.Latest,
      true,
    );
    /** @param {ts.Node} node */
    const visit = (node) => {
      const found = offence(node);
      if (found) {
        const { line } = source.getLineAndCharacterOfPosition(node.getStart());
        problems.push(
          `${path}/src/${file}:${line + 1}: ${found}; take it as a port, wire it in src/system.ts`,
        );
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
}

report(problems, `${looked} source files take time, chance and the process from outside`);
