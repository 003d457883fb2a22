/** Who runs in each window of a part, one after the other, and where their figures go. */
import type { Row } from "../benchmark.js";
import type { BareMode, Figures } from "./call.js";
import { rowsOf } from "./figures.js";
import { NEWER_NODE, type Part } from "./plan.js";
import type { Side } from "./sides.js";

/** One process of a window. */
export interface Turn {
  /** Of who runs, for messages. */
  readonly name: string;
  readonly side: Side;
  readonly call: Part["call"];
  /** The program of the Node that runs it; undefined: the one that runs the benchmark. */
  readonly node?: string | undefined;
  readonly into: Figures[];
}

/** What one Node gives. */
export interface ByNode {
  /** What its rows are called. */
  readonly name: string;
  /** Its program; undefined: the one that runs the benchmark. */
  readonly node: string | undefined;
  readonly ours: Figures[];
  readonly bare: readonly { readonly name: string; readonly mode: BareMode; readonly figures: Figures[] }[];
}

/** The figures of one part, for its turns to fill: those of each Node are of the same windows as the Go client's. */
export interface Measurement {
  readonly go: Figures[];
  readonly nodes: readonly ByNode[];
}

/** @param newerNode the program of `NEWER_NODE`, for the parts that are measured by it too; undefined: none is */
export function measurementOf(part: Part, newerNode: string | undefined): Measurement {
  const by = (name: string, node: string | undefined): ByNode => ({
    name,
    node,
    ours: [],
    bare: (part.bare ?? []).map((bare) => ({ ...bare, figures: [] })),
  });
  const { name, byNewerNode } = part;
  const newer = byNewerNode === undefined || newerNode === undefined ? [] : [by(byNewerNode, newerNode)];
  return { go: [], nodes: [by(name, undefined), ...newer] };
}

/** In their order: the clients before what is only shown beside them, so that windows that are compared lie close together. */
export function turnsOf({ call, alone = false }: Part, { go, nodes }: Measurement): readonly Turn[] {
  const on = (node: string | undefined): string => (node === undefined ? "" : ` on ${NEWER_NODE}`);
  const ours = nodes.map(
    ({ node, ours }): Turn => ({ name: `our client${on(node)}`, side: "ours", call, node, into: ours }),
  );
  const theirs: readonly Turn[] = alone ? [] : [{ name: "the Go client", side: "go", call, into: go }];
  const bare = nodes.flatMap(({ node, bare }) =>
    bare.map(({ name, mode, figures }): Turn => {
      return { name: `${name}${on(node)}`, side: "ours", call: { ...call, mode }, node, into: figures };
    }),
  );
  return [...ours.slice(0, 1), ...theirs, ...ours.slice(1), ...bare];
}

/** The rows of each Node, those of the one that runs the benchmark first. */
export function rowsOfNodes(bench: string, part: Part, { go, nodes }: Measurement): Row[] {
  return nodes.flatMap(({ name, ours, bare }) => rowsOf(bench, { ...part, name }, ours, go, bare));
}
