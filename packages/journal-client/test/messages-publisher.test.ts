import { describe, expect, it } from "vitest";
import { AppendService } from "../src/index.js";
import {
  jsonLines,
  jsonMessages,
  type Mapping,
  type MessageType,
  Publisher,
  writeAckIntents,
} from "../src/messages.js";
import { FakeBroker, HastyClock, middling, put } from "./append-support.js";

interface Click {
  uuid?: string;
  readonly n: number;
}

const type = jsonMessages<Click>("uuid");
const framings = [jsonLines<Click>()];
const to = (journal: string): Mapping<Click> => {
  return () => ({ journal, contentType: "application/x-ndjson" });
};

/** A service whose memory is full until `open`. */
function full() {
  const broker = new FakeBroker();
  const open = broker.hold();
  const service = new AppendService(broker, {
    clock: new HastyClock(),
    random: middling,
    maxMemoryBytes: 16 * 1024,
  });
  const first = put(service, "clicks/large", "x".repeat(32 * 1024));
  return { broker, service, first, open };
}

describe("writeAckIntents", () => {
  const intents = ["clicks/one", "clicks/two"].map((journal) => ({
    journal,
    intent: Buffer.alloc(600, "i"),
  }));

  it("leaves nothing behind that blocks the journals when there is no room", async () => {
    const { broker, service, first, open } = full();
    await expect(writeAckIntents(service, intents)).rejects.toMatchObject({
      code: "aborted",
      message: expect.stringContaining("clicks/one, clicks/two"),
    });
    await expect(writeAckIntents(service, intents.slice(0, 1))).rejects.toMatchObject({
      code: "buffer-full",
    });
    open();
    expect(await first.err()).toBeUndefined();
    for (const { journal } of intents) expect(await put(service, journal, "later").err()).toBeUndefined();
    await service.close();
    for (const { journal } of intents) expect(broker.text(journal)).toBe("later");
  });

  it("writes the others although one has a journal that cannot be, and waits for them", async () => {
    const broker = new FakeBroker();
    const service = new AppendService(broker, { clock: new HastyClock(), random: middling });
    const wrong = { journal: "/not/a/journal", intent: Buffer.from("i") };
    await expect(writeAckIntents(service, [wrong, ...intents])).rejects.toMatchObject({
      code: "invalid-argument",
    });
    for (const { journal } of intents) expect(broker.text(journal)).toBe("i".repeat(600));
    await service.close();
    await expect(writeAckIntents(service, intents.slice(0, 1))).rejects.toMatchObject({ code: "closed" });
  });
});

describe("Publisher", () => {
  it("publishes nothing in a transaction whose acknowledgement cannot be made", async () => {
    const broker = new FakeBroker();
    const service = new AppendService(broker, { clock: new HastyClock(), random: middling });
    const whoops = new Error("whoops");
    const broken: MessageType<Click> = {
      ...type,
      newAcknowledgement: () => {
        throw whoops;
      },
    };
    const publisher = new Publisher(service, { type: broken, framings });
    expect(() => publisher.publishUncommitted(to("clicks/one"), { n: 1 })).toThrow(whoops);
    expect(publisher.buildAckIntents()).toEqual([]);
    await service.close();
    expect(broker.rpcs).toEqual([]);
  });

  it("leaves nothing behind that blocks the journal when there is no room", async () => {
    const { broker, service, first, open } = full();
    const publisher = new Publisher(service, { type, framings });
    expect(() => publisher.publishUncommitted(to("clicks/one"), { n: 1 })).toThrow(
      expect.objectContaining({ code: "buffer-full" }),
    );
    expect(publisher.buildAckIntents()).toEqual([]);
    open();
    await first.done;
    await put(service, "clicks/one", "later").done;
    await service.close();
    expect(broker.text("clicks/one")).toBe("later");
  });
});
