import { readFileSync } from "node:fs";
import type { Hono } from "hono";

const FILES = [
  ["/", "index.html", "text/html; charset=utf-8"],
  ["/page.js", "page.js", "text/javascript; charset=utf-8"],
  ["/page.css", "page.css", "text/css; charset=utf-8"],
] as const;

/** The page and its two files, read once. */
export function addPage(app: Hono): void {
  for (const [path, file, type] of FILES) {
    const text = readFileSync(new URL(`../../public/${file}`, import.meta.url), "utf8");
    app.get(path, (c) =>
      c.body(text, 200, {
        "content-type": type,
        "cache-control": "no-cache",
        "content-security-policy":
          "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self' data:",
        "x-content-type-options": "nosniff",
      }),
    );
  }
}
