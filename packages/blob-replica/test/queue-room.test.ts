import { describe, expect, it } from "vitest";
import { Room } from "../src/replica/queue/room.js";
import { settle } from "./replica-fakes.js";

/** A queue with so many places, and what has come of those who asked for some. */
function roomOf(places: number) {
  let entries = 0;
  const room = new Room(() => places - entries);
  const done: string[] = [];
  const take = (who: string, count: number, signal = new AbortController().signal) => {
    room.take(count, signal).then(
      () => done.push(who),
      (error: Error) => done.push(`${who}: ${error.message}`),
    );
  };
  const leave = (count: number) => {
    entries -= count;
    room.changed();
  };
  return { room, done, take, leave, fill: (count: number) => (entries += count) };
}

describe("the places of a queue", () => {
  it("go to who has waited longest, however few the others want", async () => {
    const { room, done, take, leave, fill } = roomOf(4);
    fill(3);
    take("large", 3);
    take("small", 1);
    expect(room.tryTake(1)).toBe(false);
    await settle();
    expect(done).toEqual([]);
    leave(1);
    await settle();
    expect([done, room.tryTake(1)]).toEqual([[], false]);
    leave(1);
    await settle();
    expect([done, room.tryTake(1)]).toEqual([["large"], false]);
    leave(1);
    await settle();
    expect([done, room.tryTake(1)]).toEqual([["large", "small"], false]);
    room.giveBack(3);
    expect([room.tryTake(4), room.tryTake(3), room.tryTake(1)]).toEqual([false, true, false]);
  });

  it("are the next one's when who waits for them gives up, with the reason itself", async () => {
    const { room, done, take, fill } = roomOf(4);
    fill(3);
    const controller = new AbortController();
    take("large", 3, controller.signal);
    take("small", 1);
    await settle();
    controller.abort(new Error("enough"));
    await settle();
    expect(done.sort()).toEqual(["large: enough", "small"]);
    expect(room.tryTake(1)).toBe(false);
    take("late", 1, controller.signal);
    await settle();
    expect(done).toContain("late: enough");
  });
});
