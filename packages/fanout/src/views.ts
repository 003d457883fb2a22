import type { Range } from "@x/space";

/** A server that hosts one continuous range of a space. */
export interface View<P> {
  readonly serves: Range<P>;
}

/**
 * A list of views. An array is one. The view at an index must stay the same for as long as a call uses the list: whoever
 * changes his array in place passes `newViews(array)`.
 */
export interface Views<V> {
  readonly length: number;
  at(index: number): V | undefined;
}

/** The views of the list as they are now, in a list that does not change with it. */
export function newViews<V>(views: Iterable<V>): Views<V> {
  return Object.freeze([...views]);
}

/**
 * Where a call gets its views: a list, or a function that reads the current one. A function is asked again when a server says
 * that points are not its own, and while points are in no view; a list is final.
 */
export type ViewSource<V> =
  | Views<V>
  | ((context: { readonly signal: AbortSignal }) => Views<V> | Promise<Views<V>>);
