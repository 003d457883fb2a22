import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { performance } from "node:perf_hooks";
import { expect, it } from "vitest";
import { systemClock } from "../src/system.js";

it("calls back behind what had come in when the time was up, though the process stood still until then", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [[socket]] = await Promise.all([once(server, "connection"), once(client, "connect")]);
  try {
    for (let round = 0; round < 10; round++) {
      const order: string[] = [];
      const answered = once(socket, "data").then(() => order.push("answer"));
      const due = new Promise<void>((resolve) => {
        systemClock.setTimer(5, () => {
          order.push("timer");
          resolve();
        });
      });
      client.write("x");
      const until = performance.now() + 20;
      while (performance.now() < until);
      await Promise.all([answered, due]);
      expect(order).toEqual(["answer", "timer"]);
    }
  } finally {
    client.destroy();
    socket.destroy();
    server.close();
  }
});

it("takes a timer back also when its time is up and the I/O before it is being looked at", async () => {
  let rang = false;
  const cancel = systemClock.setTimer(1, () => {
    rang = true;
  });
  // Of the same delay and made later: it fires behind the other one, in the same turn.
  await new Promise<void>((resolve) => {
    setTimeout(() => {
      cancel();
      resolve();
    }, 1);
    const until = performance.now() + 5;
    while (performance.now() < until);
  });
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  expect(rang).toBe(false);
});
