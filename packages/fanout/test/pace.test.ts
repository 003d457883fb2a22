import { describe, expect, it } from "vitest";
import { call } from "../src/index.js";
import { settled } from "./support/fake-clock.js";
import { drain, type Server, server, steady } from "./support/servers.js";

const numbers = (pulled: { count: number }, most = 1000) =>
  async function* () {
    for (let value = 0; value < most; value++) {
      pulled.count += 1;
      yield value;
    }
  };

describe("a slow reader", () => {
  it("slows a stream: no more is pulled than the buffer takes", async () => {
    const pulled = { count: 0 };
    const started = call([1], [server("a")], numbers(pulled), { ...steady(), maxBufferedChunks: 8 });
    await started.next();
    await settled();
    expect(pulled.count).toBeLessThanOrEqual(9);
    for (let read = 0; read < 20; read++) {
      await started.next();
      await settled();
      expect(pulled.count).toBeLessThanOrEqual(read + 2 + 8);
    }
    await started.return();
  });

  it("gets everything in the end, in the order of the stream", async () => {
    const pulled = { count: 0 };
    const { chunks } = await drain(
      call([1], [server("a")], numbers(pulled), { ...steady(), maxBufferedChunks: 3 }),
    );
    expect(chunks.map(({ result }) => result)).toEqual(Array.from({ length: 1000 }, (_, value) => value));
  });

  it("is at most maxBufferedChunks and one chunk per live request behind", async () => {
    const pulled = { count: 0 };
    const views = Array.from({ length: 10 }, (_, index) => server(`${index}`, index, index + 1));
    const points = views.map((_, index) => index);
    const started = call(points, views, numbers(pulled), { ...steady(), maxBufferedChunks: 4 });
    await started.next();
    await settled();
    expect(pulled.count).toBeLessThanOrEqual(1 + 4 + 10);
    await started.return();
  });

  it("keeps requests that are not sent yet from being sent, until he reads", async () => {
    const { clock, random } = steady();
    let sends = 0;
    const views = Array.from({ length: 10 }, (_, index) => server("the one", index, index + 1));
    const points = views.map((_, index) => index);
    const serverOf = ({ name }: Server): string => name;
    const started = call(
      points,
      views,
      async () => {
        sends += 1;
        return sends;
      },
      { clock, random, serverOf, maxInFlightPerServer: 1, maxBufferedChunks: 2 },
    );
    await started.next();
    await settled();
    expect(sends).toBeLessThanOrEqual(1 + 2 + 1);
    const rest = drain(started);
    await clock.advance(1000);
    expect((await rest).error).toBeUndefined();
    expect(sends).toBe(10);
  });

  it("is not taken for a slow server: neither hedge nor idle timeout while he does not read", async () => {
    const { clock, random } = steady();
    let requests = 0;
    const pulled = { count: 0 };
    const started = call(
      [1],
      [server("a"), server("b")],
      () => {
        requests += 1;
        return numbers(pulled)();
      },
      { clock, random, maxBufferedChunks: 2, idleTimeoutMs: 1000, hedge: { afterMs: 500 } },
    );
    await started.next();
    await clock.advance(60_000);
    expect(requests).toBe(1);
    expect((await drain(started)).error).toBeUndefined();
    expect(requests).toBe(1);
  });

  it("does not outlive the deadline", async () => {
    const { clock, random } = steady();
    const pulled = { count: 0 };
    const started = call([1], [server("a")], numbers(pulled), {
      clock,
      random,
      maxBufferedChunks: 2,
      timeoutMs: 1000,
    });
    await started.next();
    await clock.advance(1000);
    const { chunks, error } = await drain(started);
    expect(chunks.length).toBeGreaterThan(0);
    expect(error).toMatchObject({ code: "deadline" });
  });
});
