import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Envelope } from "../src/messages/message.js";
import { Sequencer, type SequencerOptions, type SequencerWarning } from "../src/messages/sequencer.js";
import { envelopes, messageBytes, producerNamed, type Written } from "./support/messages.js";

type Sent = Envelope<Written>;

/** What a run gave: outcomes of the messages, and the committed ones. */
interface Run {
  readonly outcomes: string[];
  readonly committed: string[];
  readonly replays: string[];
}

/** Feeds all, and reads again what has to be read again. */
async function run(sequencer: Sequencer<Written>, all: readonly Sent[], from = 0): Promise<Run> {
  const result: Run = { outcomes: [], committed: [], replays: [] };
  for (const envelope of all.slice(from)) {
    const outcome = sequencer.queueUncommitted(envelope);
    result.outcomes.push(outcome);
    if (outcome === "ack-commit-replay") {
      const { journal, begin, end } = sequencer.replayRange();
      result.replays.push(`${begin}-${end}`);
      const again = all.filter(
        (each) => each.journal.name === journal && each.begin >= begin && each.end <= end,
      );
      sequencer.startReplay({ next: async () => again.shift() });
    }
    for (let next = await sequencer.step(); next !== undefined; next = await sequencer.step()) {
      result.committed.push(next.message.text);
    }
  }
  return result;
}

async function committedOf(texts: readonly string[], options?: SequencerOptions): Promise<string[]> {
  const { committed } = await run(new Sequencer<Written>(options), envelopes(texts));
  return committed;
}

describe("Sequencer", () => {
  it("gives messages outside of transactions at once, and each once", async () => {
    const result = await run(
      new Sequencer<Written>(),
      envelopes(["A1 outside", "A2 outside", "A1 outside", "B1 outside", "A2 outside", "A3 outside"]),
    );
    expect(result.committed).toEqual(["A1 outside", "A2 outside", "B1 outside", "A3 outside"]);
    expect(result.outcomes).toEqual([
      "outside-commit",
      "outside-commit",
      "outside-already-acked",
      "outside-commit",
      "outside-already-acked",
      "outside-commit",
    ]);
  });

  it("gives the messages of a transaction when its acknowledgement is read, with that", async () => {
    const result = await run(
      new Sequencer<Written>(),
      envelopes(["A1 continue", "A2 continue", "A3 ack", "A4 continue"]),
    );
    expect(result.committed).toEqual(["A1 continue", "A2 continue", "A3 ack"]);
    expect(result.outcomes).toEqual([
      "continue-begin-span",
      "continue-extend-span",
      "ack-commit-ring",
      "continue-begin-span",
    ]);
  });

  it("does not let one producer wait for another", async () => {
    expect(
      await committedOf(["A1 continue", "B5 continue", "B6 ack", "C1 outside", "A2 continue", "A3 ack"]),
    ).toEqual(["B5 continue", "B6 ack", "C1 outside", "A1 continue", "A2 continue", "A3 ack"]);
  });

  it("leaves out what was written twice within a transaction", async () => {
    const result = await run(
      new Sequencer<Written>(),
      envelopes(["A1 continue", "A2 continue", "A1 continue", "A2 continue", "A3 continue", "A4 ack"]),
    );
    expect(result.committed).toEqual(["A1 continue", "A2 continue", "A3 continue", "A4 ack"]);
    expect(result.outcomes.slice(2, 4)).toEqual(["continue-clock-larger", "continue-clock-larger"]);
  });

  it("leaves out what was written again after its acknowledgement", async () => {
    const result = await run(
      new Sequencer<Written>(),
      envelopes(["A1 continue", "A2 ack", "A1 continue", "A2 ack", "A3 continue", "A4 ack"]),
    );
    expect(result.committed).toEqual(["A1 continue", "A2 ack", "A3 continue", "A4 ack"]);
    expect(result.outcomes.slice(2, 4)).toEqual(["continue-already-acked", "ack-rollback"]);
  });

  it("rolls back what has a larger clock than its acknowledgement", async () => {
    expect(await committedOf(["A1 continue", "A2 continue", "A7 continue", "A3 ack", "A8 outside"])).toEqual([
      "A1 continue",
      "A2 continue",
      "A3 ack",
      "A8 outside",
    ]);
  });

  it("rolls a whole transaction back when the last acknowledgement is said again", async () => {
    expect(
      await committedOf([
        "A1 continue",
        "A2 ack",
        "A3 continue",
        "A4 continue",
        "A2 ack",
        "A5 continue",
        "A6 ack",
      ]),
    ).toEqual(["A1 continue", "A2 ack", "A5 continue", "A6 ack"]);
  });

  it("gives an acknowledgement of nothing", async () => {
    const result = await run(new Sequencer<Written>(), envelopes(["A5 ack", "A6 ack"]));
    expect(result).toMatchObject({ outcomes: ["ack-empty", "ack-empty"], committed: ["A5 ack", "A6 ack"] });
  });

  it("gives messages without a UUID, all of them", async () => {
    expect(await committedOf(["A0 outside", "A0 outside", "A0 continue"])).toHaveLength(3);
  });

  it("warns of a message outside of a transaction in the middle of one, and takes it as its end", async () => {
    const warnings: SequencerWarning[] = [];
    const options: SequencerOptions = { onWarning: (warning) => warnings.push(warning) };
    expect(await committedOf(["A1 continue", "A2 outside", "A3 ack"], options)).toEqual([
      "A2 outside",
      "A3 ack",
    ]);
    expect(warnings).toEqual(["outside-in-transaction"]);
  });

  it("warns of an acknowledgement that went back, and takes what comes again", async () => {
    const warnings: SequencerWarning[] = [];
    const options: SequencerOptions = { onWarning: (warning) => warnings.push(warning) };
    expect(await committedOf(["A5 continue", "A6 ack", "A2 ack", "A3 continue", "A4 ack"], options)).toEqual([
      "A5 continue",
      "A6 ack",
      "A3 continue",
      "A4 ack",
    ]);
    expect(warnings).toEqual(["ack-went-back"]);
  });

  it("takes a message with unknown flags as one outside of transactions, and warns", async () => {
    const warnings: SequencerWarning[] = [];
    const options: SequencerOptions = { onWarning: (warning) => warnings.push(warning) };
    expect(await committedOf(["A1 512"], options)).toEqual(["A1 512"]);
    expect(warnings).toEqual(["unexpected-flags"]);
  });

  it("tells which bytes to read again when a transaction is longer than its buffer, and gives it whole", async () => {
    const texts = [
      "A1 continue",
      "B1 continue",
      "A2 continue",
      "A3 continue",
      "A4 continue",
      "A5 ack",
      "B2 ack",
    ];
    const result = await run(new Sequencer<Written>({ buffer: 3 }), envelopes(texts));
    expect(result.committed).toEqual([
      "A1 continue",
      "A2 continue",
      "A3 continue",
      "A4 continue",
      "A5 ack",
      "B1 continue",
      "B2 ack",
    ]);
    expect(result.replays).toEqual(["0-300", "100-600"]);
  });

  it("goes on with a replay that failed, from where it was", async () => {
    const all = envelopes(["A1 continue", "A2 continue", "A3 continue", "A4 ack"]);
    const sequencer = new Sequencer<Written>({ buffer: 1 });
    for (const each of all) sequencer.queueUncommitted(each);
    const gone = new Error("gone");
    const first = [all[0]];
    sequencer.startReplay({
      next: async () => {
        const next = first.shift();
        if (next === undefined) throw gone;
        return next;
      },
    });
    expect((await sequencer.step())?.message.text).toBe("A1 continue");
    await expect(sequencer.step()).rejects.toBe(gone);
    const { begin, end } = sequencer.replayRange();
    expect([begin, end]).toEqual([0n, 300n]);
    const again = all.slice(0, 3);
    sequencer.startReplay({ next: async () => again.shift() });
    const rest: (string | undefined)[] = [];
    for (let next = await sequencer.step(); next; next = await sequencer.step()) rest.push(next.message.text);
    expect(rest).toEqual(["A2 continue", "A3 continue", "A4 ack"]);
  });

  it.each([
    ["of another journal", () => envelopes(["A1 continue"], "another/journal")[0]],
    [
      "from behind its range",
      () => envelopes(["A1 continue", "A2 continue", "A3 continue", "A9 continue"])[3],
    ],
  ])("refuses a replay %s", async (_what, wrong) => {
    const sequencer = new Sequencer<Written>({ buffer: 1 });
    for (const each of envelopes(["A1 continue", "A2 continue", "A3 continue", "A4 ack"])) {
      sequencer.queueUncommitted(each);
    }
    sequencer.startReplay({ next: async () => wrong() });
    await expect(sequencer.step()).rejects.toMatchObject({ code: "bad-message" });
  });

  it("refuses a step without the replay that it asked for, and a message while committed ones are left", async () => {
    const all = envelopes(["A1 continue", "A2 continue", "A3 ack", "A4 outside"]);
    const sequencer = new Sequencer<Written>({ buffer: 1 });
    for (const each of all.slice(0, 3)) sequencer.queueUncommitted(each);
    await expect(sequencer.step()).rejects.toMatchObject({ code: "invalid-argument" });
    expect(() => all[3] && sequencer.queueUncommitted(all[3])).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
    const fresh = new Sequencer<Written>();
    expect(() => fresh.replayRange()).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    expect(await fresh.step()).toBeUndefined();
  });

  it.each([0, -1, 1.5, Number.NaN])("refuses a buffer of %s messages", (buffer) => {
    expect(() => new Sequencer({ buffer })).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });

  it("says whether a transaction is open that was not at the last checkpoint", async () => {
    const sequencer = new Sequencer<Written>();
    const all = envelopes(["A1 continue", "A2 continue", "A3 ack"]);
    await run(sequencer, all.slice(0, 1));
    expect(sequencer.hasPending).toBe(true);
    sequencer.checkpoint();
    expect(sequencer.hasPending).toBe(false);
    await run(sequencer, all, 1);
    expect(sequencer.hasPending).toBe(false);
  });

  it("forgets producers that were silent for longer than asked, by the clock of the journal's newest", async () => {
    const ms = 160_000n; // of a clock
    const sequencer = new Sequencer<Written>();
    await run(sequencer, envelopes([`A1 outside`, `B${5n * ms} outside`, `C${10n * ms} outside`]));
    const kept = sequencer.checkpoint({ pruneHorizonMs: 6 }).states.map(({ producer }) => producer);
    expect(kept).toEqual([producerNamed("B"), producerNamed("C")]);
  });
});

/** What the producers did, so that their journal is well formed: transactions, some rolled back, some repeated. */
const actions = fc.array(
  fc.record({
    producer: fc.constantFrom("A", "B", "C"),
    action: fc.constantFrom("outside", "continue", "continue", "continue", "ack", "roll back", "repeat"),
  }),
  { maxLength: 60 },
);

interface Expected {
  readonly texts: string[];
  /** Of each producer, in its order. */
  readonly committed: Record<string, string[]>;
}

/** Writes a journal, and says what of it is committed: the oracle, by what the producers meant. */
function journalOf(steps: readonly { producer: string; action: string }[]): Expected {
  const texts: string[] = [];
  const committed: Record<string, string[]> = { A: [], B: [], C: [] };
  const clocks: Record<string, number> = { A: 1, B: 1, C: 1 };
  const acked: Record<string, number> = { A: 0, B: 0, C: 0 };
  const open: Record<string, string[]> = { A: [], B: [], C: [] };
  for (const { producer, action } of steps) {
    const unacked = open[producer] ?? [];
    const done = committed[producer] ?? [];
    const clock = clocks[producer] ?? 1;
    const say = (role: string, at = clock): string => {
      const text = `${producer}${at} ${role}`;
      texts.push(text);
      return text;
    };
    if (action === "roll back") {
      if ((acked[producer] ?? 0) > 0) say("ack", acked[producer]);
      else continue;
      open[producer] = [];
    } else if (action === "repeat") {
      const all = texts.filter((text) => text.startsWith(producer) && text.includes("continue"));
      const again = all.at(-1);
      if (again !== undefined && unacked.includes(again)) texts.push(again);
    } else if (action === "continue") {
      unacked.push(say("continue"));
      clocks[producer] = clock + 1;
    } else if (action === "ack" || unacked.length === 0) {
      const text = say(action === "ack" ? "ack" : "outside");
      done.push(...unacked, text);
      open[producer] = [];
      acked[producer] = clock;
      clocks[producer] = clock + 1;
    }
  }
  return { texts, committed };
}

describe("Sequencer, over random journals", () => {
  it("gives each producer's committed messages once and in order, with a buffer of any size", async () => {
    await fc.assert(
      fc.asyncProperty(actions, fc.integer({ min: 1, max: 12 }), async (steps, buffer) => {
        const { texts, committed } = journalOf(steps);
        const got = await committedOf(texts, { buffer });
        for (const producer of ["A", "B", "C"]) {
          expect(got.filter((text) => text.startsWith(producer))).toEqual(committed[producer]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("gives them exactly once when it is stopped anywhere and made again from its checkpoint", async () => {
    await fc.assert(
      fc.asyncProperty(actions, fc.integer({ min: 1, max: 12 }), fc.nat(60), async (steps, buffer, stop) => {
        const { texts, committed } = journalOf(steps);
        const all = envelopes(texts);
        const before = new Sequencer<Written>({ buffer });
        const first = await run(before, all.slice(0, stop));
        const { offsets, states } = before.checkpoint();
        const at = Number((offsets.get("a/journal") ?? 0n) / messageBytes);
        const after = new Sequencer<Written>({ buffer, offsets, states });
        const second = await run(after, all, at);
        const got = [...first.committed, ...second.committed];
        for (const producer of ["A", "B", "C"]) {
          expect(got.filter((text) => text.startsWith(producer))).toEqual(committed[producer]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("gives the rest of a transaction when it is stopped in the middle of taking it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.nat(6), async (buffer, taken) => {
        const texts = [
          "A1 continue",
          "B1 continue",
          "A2 continue",
          "A3 continue",
          "A4 continue",
          "A5 ack",
          "B2 ack",
        ];
        const all = envelopes(texts);
        const before = new Sequencer<Written>({ buffer });
        for (const each of all.slice(0, 6)) before.queueUncommitted(each);
        const again = all.slice(0, 5).filter((each) => each.end <= before.replayRange().end);
        if (before.replayRange().begin !== before.replayRange().end) {
          before.startReplay({ next: async () => again.shift() });
        }
        const got: string[] = [];
        // A message counts as processed by the step behind it.
        for (let index = 0; index <= taken; index += 1) {
          const next = await before.step();
          if (next === undefined) break;
          if (index < taken) got.push(next.message.text);
        }
        const { offsets, states } = before.checkpoint();
        const at = Number((offsets.get("a/journal") ?? 0n) / messageBytes);
        const after = new Sequencer<Written>({ buffer, offsets, states });
        got.push(...(await run(after, all, at)).committed);
        expect(got.filter((text) => text.startsWith("A"))).toEqual(
          texts.filter((text) => text.startsWith("A")),
        );
        expect(got.filter((text) => text.startsWith("B"))).toEqual(["B1 continue", "B2 ack"]);
      }),
    );
  });

  it("holds no more messages than its buffer", () => {
    const texts = Array.from({ length: 100 }, (_, index) => `A${index + 1} continue`);
    const all = envelopes([...texts, "A101 ack"]);
    const sequencer = new Sequencer<Written>({ buffer: 4 });
    for (const each of all) sequencer.queueUncommitted(each);
    // The acknowledgement and the three before it are held; the rest has to be read again.
    expect(sequencer.replayRange()).toEqual({ journal: "a/journal", begin: 0n, end: 97n * messageBytes });
  });
});
