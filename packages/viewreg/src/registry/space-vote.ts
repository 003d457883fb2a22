import type { Space } from "@x/space";

/**
 * Which space the servers' points are of, when nobody has said: the one that most of them are of, so that one that says something else
 * harms itself alone. At a draw it stays what it is. O(1), since there are as few spaces as types of points.
 */
export class SpaceVote {
  readonly #counts: Map<Space<unknown>, number> = new Map();
  #elected: Space<unknown> | undefined;

  /** Undefined as long as nobody votes. */
  get elected(): Space<unknown> | undefined {
    return this.#elected;
  }

  /** A server votes for another space than before; undefined for none. */
  move(from: Space<unknown> | undefined, to: Space<unknown> | undefined): void {
    this.#add(from, -1);
    this.#add(to, 1);
    let most = this.#countOf(this.#elected);
    if (most === 0) this.#elected = undefined;
    for (const [space, count] of this.#counts) {
      if (count <= most) continue;
      most = count;
      this.#elected = space;
    }
  }

  #add(space: Space<unknown> | undefined, change: 1 | -1): void {
    if (space !== undefined) this.#counts.set(space, this.#countOf(space) + change);
  }

  #countOf(space: Space<unknown> | undefined): number {
    return space === undefined ? 0 : (this.#counts.get(space) ?? 0);
  }
}
