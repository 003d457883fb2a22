import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { type CompressionCodec, type Fragment, parseFragmentPath } from "../src/index.js";

/** Files of fragments as a broker of Gazette v0.103.0 wrote them: see the README there. */
export const FRAGMENT_FILES: URL = new URL("data/", import.meta.url);

export const WRITTEN_CODECS: readonly CompressionCodec[] = ["GZIP", "SNAPPY", "ZSTANDARD"];

const JOURNAL = "data/fragment";

/** The same on each machine: text that compresses, and bytes that do not. */
function noise(seed: string, bytes: number): Buffer {
  const parts = Array.from({ length: Math.ceil(bytes / 64) }, (_, index) =>
    createHash("sha512").update(`${seed} ${index}`).digest(),
  );
  return Buffer.concat(parts).subarray(0, bytes);
}

function text(seed: string, lines: number): Buffer {
  const words = noise(seed, lines);
  const line = (_: unknown, index: number): string =>
    `{"number":${index},"kind":"${["click", "view", "order"][(words[index] ?? 0) % 3]}","of":"user-${words[index]}"}\n`;
  return Buffer.from(Array.from({ length: lines }, line).join(""));
}

/** The appends that the content of each file was made of: of several sizes, one of more than a block of each codec. */
export function fragmentAppends(): readonly Buffer[] {
  return [
    text("first", 600),
    noise("second", 6_000),
    Buffer.from("{"),
    Buffer.alloc(150_000, "the same again\n"),
    text("last", 900),
  ];
}

/** The fragment that the file of this name holds. */
export function fragmentOfFile(name: string): Fragment {
  return parseFragmentPath(JOURNAL, name);
}

export function fragmentFileNames(): readonly string[] {
  return readdirSync(FRAGMENT_FILES).filter((name) => /^[0-9a-f]{16}-/.test(name));
}
