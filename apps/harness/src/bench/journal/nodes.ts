/** Which Node runs our client, and what the reader of the figures has to know about it. */
import * as zlib from "node:zlib";
import { HarnessError, installNode } from "../../servers/index.js";
import type { Figures } from "./call.js";
import { NEWER_NODE } from "./plan.js";

/** A Node other than the one that runs the benchmark: its program, or why there is none. */
export type NewerNode = { readonly program: string } | { readonly missing: string };

/** Whether the Node that runs this decompresses Zstandard by itself. */
export function hasZstd(): boolean {
  return "createZstdDecompress" in zlib;
}

/** That it cannot be had is told and no failure: neither the platform nor the network is what is measured. */
export async function findNewerNode(
  signal: AbortSignal,
  install: typeof installNode = installNode,
): Promise<NewerNode> {
  try {
    return { program: await install({ signal }) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof HarnessError) return { missing: error.message };
    // Its message may name folders of this machine, which are not for a README.
    const { code = String(error) } = error as NodeJS.ErrnoException;
    return { missing: `its installation failed (${code})` };
  }
}

/** Which Node made which rows, by what the windows told. */
export function notesOfNodes(
  windows: {
    readonly own: readonly Figures[];
    /** Those of the newer Node. */
    readonly newer: readonly Figures[];
  },
  {
    native,
    missing,
  }: {
    /** The Node that runs the benchmark has a zstd of its own. */
    readonly native: boolean;
    /** Why the newer Node has no rows. */
    readonly missing?: string | undefined;
  },
): string[] {
  const own = versionsOf(windows.own);
  const newer = versionsOf(windows.newer);
  if (own === "") return [];
  const ran = `Our client and the bare columns were run by Node ${own}`;
  if (native) return [`${ran}, which has a zstd of its own (as all have from Node 22.15 on) for ZSTANDARD.`];
  const wasm = "has no zstd of its own, so that ZSTANDARD is read by WebAssembly, in one thread";
  if (newer !== "")
    return [
      `${ran}, which ${wasm}; those of the rows with "${NEWER_NODE}" in their names by Node ${newer}, which has one (as all have from Node 22.15 on), in turns with the same windows of the Go client.`,
    ];
  return [
    `${ran}, which ${wasm}; from Node 22.15 on it is native.`,
    ...(missing === undefined ? [] : [`There are no rows of ${NEWER_NODE}: ${missing}.`]),
  ];
}

function versionsOf(windows: readonly Figures[]): string {
  return [...new Set(windows.flatMap(({ node }) => node ?? []))].join(" and ");
}
