import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/**
 * Workspace packages are read from their sources, so that no test depends on a build being there, or being fresh. The
 * other conditions are the ones that vite gives up when `conditions` is set, but for "module": Node does not know it, and modules that
 * are only for bundlers do not run.
 */
const conditions = ["@x/source", "node", "development|production"];

/** One project per package and app with tests, so that `vitest run --project space` runs one of them. */
const projects = ["packages", "apps"].flatMap((group) =>
  readdirSync(new URL(group, import.meta.url))
    .map((name) => ({ name, root: new URL(`${group}/${name}/`, import.meta.url) }))
    .filter(({ root }) => existsSync(new URL("test", root)))
    .map(({ name, root }) => ({
      resolve: { conditions },
      ssr: { resolve: { conditions, externalConditions: ["@x/source"] } },
      test: {
        name,
        root: fileURLToPath(root),
        include: ["test/**/*.test.ts"],
        // Ends what hangs, and judges no speed: tests that compute for seconds take several times as long on a machine with other work.
        testTimeout: 30_000,
        hookTimeout: 60_000,
        expect: { poll: { timeout: 20_000 } },
        // The apps come after the packages, one file at a time: their tests run real processes, which other work would slow down. Those
        // of the packages wait for disks a lot, and use all cores.
        sequence: { groupOrder: group === "apps" ? 1 : 0 },
        maxWorkers: group === "apps" ? 1 : availableParallelism(),
      },
    })),
);

export default defineConfig({ test: { projects } });
