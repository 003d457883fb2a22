export interface Label {
  readonly name: string;
  /** In a selector, "" stands for every value. */
  readonly value: string;
  /** Only in a selector: every value that starts with `value`. */
  readonly prefix?: boolean;
}

/** Unique labels, sorted by name and then by value (as Go sorts strings: by the bytes of UTF-8). `labelSet` makes one. */
export type LabelSet = readonly Label[];

/** Which label sets are meant: those with every name of `include` in one of its values, and none of `exclude`. Both empty: all. */
export interface LabelSelector {
  readonly include: LabelSet;
  readonly exclude: LabelSet;
}
