import { Backlog } from "./backlog.js";
import { Room } from "./room.js";

/** Of one asynchronous store. */
export class StoreQueue {
  readonly name: string;
  readonly backlog: Backlog = new Backlog();
  readonly room: Room;
  /** Writes that were dropped, ever, and how many of them were made good by a sync. */
  dropped = 0;
  synced = 0;

  constructor(name: string, maxQueued: number) {
    this.name = name;
    this.room = new Room(() => maxQueued - this.backlog.size);
  }
}
