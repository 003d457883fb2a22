/** What a benchmark is, and the one shape in which each tells its figures. */

/** How a first goal is stated, and when it is met: by the ratio of ours to theirs, or by our own figure where there is no peer. */
export interface Goal {
  /** As it was set, for people. */
  readonly text: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** One line of `--json`. */
export interface Row {
  readonly bench: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** The median of the counted windows; null if it could not be measured. */
  readonly ours: number | null;
  /** Who is compared with; null where the figure stands alone. */
  readonly peer: string | null;
  readonly theirs: number | null;
  /** `ours / theirs`, of the medians. */
  readonly ratio: number | null;
  /** The least and the greatest ratio of two windows that ran one after the other; without a peer, of our own figures. */
  readonly spread: readonly [number, number] | null;
  /** How many windows were counted on each side. */
  readonly runs: number;
  readonly goal: string | null;
  /** Null where there is no goal, false where it was missed, or could not be shown to be met. */
  readonly met: boolean | null;
}

export interface BenchContext {
  /** A smoke run: everything happens, but so shortly that the figures mean little. */
  readonly quick: boolean;
  /** A folder for CPU profiles of our own processes. Default: none are taken. */
  readonly profileDirectory: string | undefined;
  /** Only what has this in its name, for work on one thing. Default: everything. */
  readonly only: string | undefined;
  readonly signal: AbortSignal;
  /** For people, while it runs. */
  readonly say: (line: string) => void;
}

export interface Report {
  readonly rows: readonly Row[];
  /** Who was measured and how it was configured, a line each. */
  readonly setup: readonly string[];
  /** What else a reader has to know, as what failed or was saturated. */
  readonly notes: readonly string[];
  /** Something could not be measured that should have been. */
  readonly failed: boolean;
}

export interface Benchmark {
  readonly name: string;
  /** One sentence, for the README. */
  readonly about: string;
  /** The READMEs that show the figures, from the top of the repository. */
  readonly readmes: readonly string[];
  run(context: BenchContext): Promise<Report>;
}
