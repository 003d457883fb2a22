import type { Views } from "../views.js";
import { locate } from "./locate.js";
import { failRanks } from "./points.js";
import { type Call, type SchedulerState, tell, type Waiting } from "./state.js";
import { pauseBefore, release } from "./waiting.js";

// The views of a call are read again when a server said that points are not its own, and while points are in no view.

/** Makes points wait for a reading of the views that begins now, or after the one that is under way: that may have begun too early. */
export function startReading<P, V>(state: SchedulerState<P, V>, waiting: Waiting<P, V>): void {
  const { call } = waiting;
  if (call.reading) waiting.reading = call.readings + 1;
  else {
    beginReading(state, call);
    waiting.reading = call.readings;
  }
}

function beginReading<P, V>(state: SchedulerState<P, V>, call: Call<P, V>): void {
  call.reading = true;
  call.readings++;
  state.actions.push({ type: "read-views", call: call.id });
}

/** The views were read. Requests under way are not disturbed; what waits is planned over the new ones. */
export function onViews<P, V>(state: SchedulerState<P, V>, call: Call<P, V>, views: Views<V>): void {
  if (!call.reading) return;
  try {
    Object.assign(call, locate(state, call.points, views));
  } catch (error) {
    onViewsError(state, call, error);
    return;
  }
  call.viewsError = undefined;
  tell(state, { type: "views", atMs: state.nowMs, call: call.id });
  for (const waiting of endReading(call)) release(state, waiting);
  readAgain(state, call);
}

/** The views could not be read: tried again after a pause, as often as a point may be sent. */
export function onViewsError<P, V>(state: SchedulerState<P, V>, call: Call<P, V>, error: unknown): void {
  if (!call.reading) return;
  call.viewsError = { error };
  for (const waiting of endReading(call)) {
    waiting.readings++;
    if (waiting.readings >= call.options.retry.maxAttempts) {
      call.waiting.delete(waiting);
      failRanks(state, call, waiting.ranks, "uncovered");
      continue;
    }
    waiting.readFirst = true;
    const pausedUntilMs = state.nowMs + pauseBefore(state, call, waiting.readings);
    waiting.notBeforeMs = Math.max(waiting.notBeforeMs, pausedUntilMs);
    release(state, waiting);
  }
  readAgain(state, call);
}

/** Those that waited for the reading that is over. */
function endReading<P, V>(call: Call<P, V>): Waiting<P, V>[] {
  call.reading = false;
  const done = [...call.waiting].filter((waiting) => waiting.reading === call.readings);
  for (const waiting of done) waiting.reading = 0;
  return done;
}

function readAgain<P, V>(state: SchedulerState<P, V>, call: Call<P, V>): void {
  if (call.reading) return;
  for (const waiting of call.waiting) {
    if (waiting.reading > 0) {
      beginReading(state, call);
      return;
    }
  }
}
