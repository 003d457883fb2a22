import { FanoutError } from "../errors.js";

/**
 * The views that serve what is being planned, kept while the plan moves from left to right over the points. A view comes in at its
 * first point and leaves for good when it no longer reaches far enough, each in O(1).
 */
export class ActiveViews {
  /** In no particular order. Always the same array, so that nothing is copied for each request. */
  readonly list: number[] = [];
  /** Where a view is in `list`, plus one; 0 when it is not. */
  readonly #places: Uint32Array;

  constructor(viewCount: number) {
    this.#places = new Uint32Array(viewCount);
  }

  has(view: number): boolean {
    return (this.#places[view] ?? 0) > 0;
  }

  add(view: number): void {
    this.#places[view] = this.list.push(view);
  }

  delete(view: number): void {
    const place = this.#places[view]!;
    if (place === 0) return;
    this.#places[view] = 0;
    const last = this.list.pop()!;
    if (last === view) return;
    this.list[place - 1] = last;
    this.#places[last] = place;
  }

  clear(): void {
    for (const view of this.list) this.#places[view] = 0;
    this.list.length = 0;
  }

  /** @throws FanoutError "invalid-argument" when `choose` picks what is none of them */
  pick(choose: (candidates: readonly number[]) => number): number {
    const view = choose(this.list);
    if (this.has(view)) return view;
    throw new FanoutError("invalid-argument", `choose returns one of its candidates, and ${view} is none.`);
  }
}
