import { type Consumer, type ConsumerOptions, TopicError } from "@x/topic-gateway";
import type { Clock } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { FakeClock, settled } from "../../../packages/coord/test/support/fake-clock.js";
import { HttpSessions, type Subscriber } from "../src/http/sessions.js";

const SILENCE_MS = 30_000;
const me = { topic: "t", subscription: "s", consumer: "me" };
const you = { ...me, consumer: "you" };

/** Counts the consumers that were opened, and says which are closed. Nothing is delivered. */
class FakeSubscriber implements Subscriber {
  readonly opened: { readonly name: string; closed: boolean }[] = [];
  failure: unknown;

  async subscribe(
    _topic: string,
    _subscription: string,
    { consumer: name }: ConsumerOptions,
  ): Promise<Consumer> {
    if (this.failure !== undefined) throw this.failure;
    const state = { name, closed: false };
    this.opened.push(state);
    const close = async (): Promise<void> => {
      state.closed = true;
    };
    return { close } as Partial<Consumer> as Consumer;
  }

  get open(): string[] {
    return this.opened.filter(({ closed }) => !closed).map(({ name }) => name);
  }
}

function world(maxSessions?: number): {
  clock: FakeClock;
  subscriber: FakeSubscriber;
  sessions: HttpSessions;
} {
  const fake = new FakeClock();
  const clock: Clock & FakeClock = Object.assign(fake, { wallMs: () => fake.monotonicMs() });
  const subscriber = new FakeSubscriber();
  const options = { clock, silenceMs: SILENCE_MS, ...(maxSessions !== undefined && { maxSessions }) };
  return { clock: fake, subscriber, sessions: new HttpSessions(subscriber, options) };
}

const nothing = async (): Promise<void> => {};

describe("the sessions of consumers over HTTP", () => {
  it("opens one consumer for all requests of a name, also for those that come at once", async () => {
    const { subscriber, sessions } = world();
    const seen = new Set<Consumer>();
    const look = async (consumer: Consumer): Promise<void> => void seen.add(consumer);
    await Promise.all([sessions.use(me, look), sessions.use(me, look), sessions.use(you, look)]);
    await sessions.useExisting(me, look);
    expect(subscriber.open).toEqual(["me", "you"]);
    expect(seen.size).toBe(2);
  });

  it("ends a session 30 s after its last request, not before", async () => {
    const { clock, subscriber, sessions } = world();
    await sessions.use(me, nothing);
    await clock.advance(SILENCE_MS - 1);
    await sessions.useExisting(me, nothing);
    await clock.advance(SILENCE_MS - 1);
    expect(subscriber.open).toEqual(["me"]);
    await clock.advance(1);
    expect(subscriber.open).toEqual([]);
    expect(sessions.size).toBe(0);
    await expect(sessions.useExisting(me, nothing)).rejects.toMatchObject({
      code: "lease-lost",
      message: expect.stringContaining("30 s of silence"),
    });
    await sessions.use(me, nothing);
    expect(subscriber.opened).toHaveLength(2);
  });

  it("counts a request that takes long as no silence, and what follows it as silence", async () => {
    const { clock, subscriber, sessions } = world();
    let finish = (): void => {};
    const long = sessions.use(
      me,
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    await settled();
    await sessions.use(me, nothing);
    await clock.advance(10 * SILENCE_MS);
    expect(subscriber.open).toEqual(["me"]);
    finish();
    await long;
    await clock.advance(SILENCE_MS);
    expect(subscriber.open).toEqual([]);
  });

  it("does not keep a session that could not be opened", async () => {
    const { clock, subscriber, sessions } = world();
    subscriber.failure = new TopicError("subscription-not-found", "there is none");
    await expect(sessions.use(me, nothing)).rejects.toBe(subscriber.failure);
    expect(sessions.size).toBe(0);
    expect(clock.timers).toBe(0);
    subscriber.failure = undefined;
    await sessions.use(me, nothing);
    expect(subscriber.open).toEqual(["me"]);
  });

  it("ends a session whose consumer is of no more use, and keeps it over passing errors", async () => {
    const { subscriber, sessions } = world();
    const failing = (code: "closed" | "lease-lost") => () => Promise.reject(new TopicError(code, "no"));
    await expect(sessions.use(me, failing("lease-lost"))).rejects.toMatchObject({ code: "lease-lost" });
    expect(subscriber.open).toEqual(["me"]);
    await expect(sessions.use(me, failing("closed"))).rejects.toMatchObject({ code: "closed" });
    await settled();
    expect(subscriber.open).toEqual([]);
    await sessions.use(me, nothing);
    expect(subscriber.open).toEqual(["me"]);
  });

  it("ends a session when it is told to", async () => {
    const { clock, subscriber, sessions } = world();
    await sessions.use(me, nothing);
    expect(await sessions.end(you)).toBe(false);
    expect(await sessions.end(me)).toBe(true);
    expect(subscriber.open).toEqual([]);
    expect(clock.timers).toBe(0);
  });

  it("refuses more sessions than it may have", async () => {
    const { subscriber, sessions } = world(1);
    await sessions.use(me, nothing);
    await expect(sessions.use(you, nothing)).rejects.toMatchObject({ code: "overloaded" });
    await sessions.end(me);
    await sessions.use(you, nothing);
    expect(subscriber.open).toEqual(["you"]);
  });

  it("closes all consumers when it is closed, and leaves no timer", async () => {
    const { clock, subscriber, sessions } = world();
    await sessions.use(me, nothing);
    await sessions.use(you, nothing);
    await sessions.close();
    expect(subscriber.open).toEqual([]);
    expect(clock.timers).toBe(0);
  });
});
