import type { Space } from "@x/space";
import { attempt, describe, messageOf, shorten } from "./describe.js";
import type { Cause, PointFailure } from "./errors.js";

/** The sentence of a FanoutError about points that were not satisfied: the first of them, why, and how many more. */
export function failureMessage(
  space: Space<unknown>,
  failures: readonly PointFailure<unknown, unknown>[],
): string {
  const first = failures[0];
  if (first === undefined) return "The call failed before it had points.";
  const more = failures.length - 1;
  const others = more === 0 ? "" : ` ${more} more ${more === 1 ? "point" : "points"} failed too.`;
  return `${sentence(space, first)}${causesOf(space, first)}.${others}`;
}

function sentence(space: Space<unknown>, { point, offset, reason }: PointFailure<unknown, unknown>): string {
  const name = `point ${formatPoint(space, point)} (offset ${offset})`;
  switch (reason) {
    case "uncovered":
      return `No view serves ${name}`;
    case "not-retryable":
      return `A server refused ${name} for good`;
    case "attempts":
      return `All the sends of ${name} failed`;
    case "budget":
      return `A send of ${name} failed, and the budget has no token for another`;
    case "deadline":
      return `The deadline passed before ${name} was satisfied`;
  }
}

/** At most this many are told; `failures` has all. */
const mostCauses = 4;

function causesOf(space: Space<unknown>, { causes }: PointFailure<unknown, unknown>): string {
  if (causes.length === 0) return "";
  const told = causes.slice(0, mostCauses).map((cause) => causeText(space, cause));
  if (causes.length > mostCauses) told.push(`${causes.length - mostCauses} more`);
  return `: ${told.join("; ")}`;
}

function causeText(space: Space<unknown>, { view, error }: Cause<unknown>): string {
  // A sentence's full stop would stand before a semicolon.
  return `${viewText(space, view)}: ${messageOf(error).replace(/\.$/, "")}`;
}

export function formatPoint(space: Space<unknown>, point: unknown): string {
  const text = attempt(() => space.format(point));
  if (typeof text !== "string") return describe(point);
  return typeof point === "string" ? describe(text) : shorten(text, 60);
}

/** A view by its own `toString`, otherwise by its range. */
export function viewText(space: Space<unknown> | undefined, view: unknown): string {
  const own = attempt(() =>
    typeof view === "object" && view !== null && view.toString !== Object.prototype.toString
      ? String(view)
      : undefined,
  );
  if (typeof own === "string") return shorten(own, 100);
  const range = attempt(() => {
    if (typeof view !== "object" || view === null || !("serves" in view)) return undefined;
    const { serves } = view;
    if (typeof serves !== "object" || serves === null || !("from" in serves && "to" in serves))
      return undefined;
    return space?.formatRange({ from: serves.from, to: serves.to });
  });
  return typeof range === "string" ? `the view of ${shorten(range, 160)}` : "a view";
}
