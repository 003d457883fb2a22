import { readdirSync } from "node:fs";
import { defineConfig } from "vitest/config";

/** One project per package, so that `vitest run --project space` runs one of them. */
const projects = ["packages", "apps"].flatMap((group) =>
  readdirSync(new URL(group, import.meta.url)).map((name) => ({
    resolve: { conditions: ["@x/source"] },
    ssr: { resolve: { conditions: ["@x/source"], externalConditions: ["@x/source"] } },
    test: {
      name,
      root: new URL(`${group}/${name}`, import.meta.url).pathname,
      include: ["test/**/*.test.ts"],
      passWithNoTests: true,
    },
  })),
);

export default defineConfig({ test: { projects } });
