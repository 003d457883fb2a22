/**
 * Who of the consumers of a subscription should read which segments. Every consumer computes this for itself from the records and
 * moves only its own segments; transactions decide where two views differ. Pure.
 *
 * Each consumer is due the same number of segments, give or take one. The ones left over stay with those who hold the most, so
 * that a balanced subscription has nothing to move, whoever joined when.
 */
import type { SegmentName } from "../protocol/segment-id.js";

export interface PlanSegment {
  readonly name: SegmentName;
  /** The session that holds it, or undefined. May be one that is not among the consumers any more. */
  readonly holder: { readonly session: string; readonly createRevision: bigint } | undefined;
}

export interface PlanInput {
  /** My session; when it is not among `sessions` there is nothing to do but release. */
  readonly me: string;
  readonly sessions: readonly { readonly id: string; readonly createRevision: bigint }[];
  /** The eligible ones. */
  readonly segments: readonly PlanSegment[];
  /** Segments that I hold and am about to give back already. */
  readonly leaving?: ReadonlySet<SegmentName>;
}

export interface Plan {
  /** Free ones that are mine to take, in order of their names. */
  readonly acquire: readonly SegmentName[];
  /** Mine to give back, the latest acquired first. */
  readonly release: readonly SegmentName[];
}

export function planMoves({ me, sessions, segments, leaving = new Set() }: PlanInput): Plan {
  const seats = seatsOf(sessions, segments);
  const mine = seats.find((seat) => seat.id === me);
  const held = segments.filter((segment) => segment.holder?.session === me);
  const staying = held.filter((segment) => !leaving.has(segment.name));
  const excess = staying.length - (mine?.due ?? 0);
  if (excess > 0) return { acquire: [], release: latest(staying, excess) };
  if (!mine || mine.held >= mine.due) return { acquire: [], release: [] };

  // Everybody deals out the free ones in the same way, so that few reach for the same one.
  const free = segments.filter((segment) => !segment.holder).map((segment) => segment.name);
  free.sort(byName);
  const acquire: SegmentName[] = [];
  const lacking = seats.filter((seat) => seat.held < seat.due);
  let turn = 0;
  for (const name of free) {
    if (lacking.length === 0) break;
    turn %= lacking.length;
    const seat = lacking[turn] as Seat;
    seat.held += 1;
    if (seat === mine) acquire.push(name);
    if (seat.held === seat.due) lacking.splice(turn, 1);
    else turn += 1;
  }
  return { acquire, release: [] };
}

interface Seat {
  readonly id: string;
  readonly createRevision: bigint;
  held: number;
  due: number;
}

/** What each consumer holds and should hold, in the order in which they came. */
function seatsOf(sessions: PlanInput["sessions"], segments: readonly PlanSegment[]): Seat[] {
  const seats = sessions
    .map((session): Seat => ({ ...session, held: 0, due: 0 }))
    .sort((a, b) => compare(a.createRevision, b.createRevision) || compare(a.id, b.id));
  const byId = new Map(seats.map((seat) => [seat.id, seat]));
  for (const { holder } of segments) {
    const seat = holder && byId.get(holder.session);
    if (seat) seat.held += 1;
  }
  const share = Math.floor(segments.length / seats.length);
  const extras = segments.length - share * seats.length;
  // The sort is stable: of those who hold as many, the older ones.
  const greedy = [...seats].sort((a, b) => b.held - a.held);
  greedy.forEach((seat, index) => {
    seat.due = share + (index < extras ? 1 : 0);
  });
  return seats;
}

function latest(held: PlanSegment[], count: number): SegmentName[] {
  return held
    .sort(
      (a, b) =>
        compare(b.holder?.createRevision ?? 0n, a.holder?.createRevision ?? 0n) || byName(a.name, b.name),
    )
    .slice(0, count)
    .map((segment) => segment.name);
}

function byName(a: string, b: string): number {
  return compare(a, b);
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
