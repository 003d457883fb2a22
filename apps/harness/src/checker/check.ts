import type { History } from "./history.js";
import {
  checkAcknowledged,
  checkDelivered,
  checkDuplicates,
  checkFence,
  checkOrder,
  Logged,
} from "./messages.js";
import { checkEpochs, checkOverlaps, checkRecords, checkSequences } from "./segments.js";
import { checkArrival, checkBookmarks, checkRuns, checkSuccession } from "./subscriptions.js";
import { Timeline } from "./timeline.js";
import type { Violation } from "./violation.js";

/** Everything that a history proves to be broken of what the topic protocol promises, in no particular order; [] when nothing is. */
export function checkHistory(history: History): Violation[] {
  const timeline = new Timeline(history.revisions);
  const logged = new Logged(timeline, history);
  return [
    ...checkAcknowledged(timeline, logged, history),
    ...checkDelivered(timeline, logged, history),
    ...checkOverlaps(timeline),
    ...checkRecords(timeline),
    ...checkEpochs(timeline),
    ...checkFence(logged, history),
    ...checkSequences(timeline, history),
    ...checkOrder(timeline, history),
    ...checkDuplicates(history),
    ...checkRuns(timeline, history),
    ...checkSuccession(timeline, history),
    ...checkBookmarks(timeline, history),
    ...checkArrival(timeline, logged, history),
  ];
}
