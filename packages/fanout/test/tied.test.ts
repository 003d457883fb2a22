import { describe, expect, it } from "vitest";
import { call, type Tie } from "../src/index.js";
import { settled } from "./support/fake-clock.js";
import { drain, handAnswered, type Server, server, steady } from "./support/servers.js";

const pair = [server("a"), server("b")];
const tied = { hedge: { afterMs: 5, tied: true } };

/** What goes over the wire with a request: its pair's id and, with the second of a pair, who has the first. */
interface Message {
  readonly id: string;
  readonly twinAt: string | undefined;
}

/** A server that works off its queue one by one, and tells the one that has a request's twin when it begins. */
class QueueServer {
  readonly name: string;
  readonly worked: string[] = [];
  readonly queue: { readonly message: Message; readonly answer: (text: string) => void }[] = [];
  readonly #peers: Map<string, QueueServer>;
  readonly #begun: Set<string> = new Set();

  constructor(name: string, peers: Map<string, QueueServer>) {
    this.name = name;
    this.#peers = peers;
    peers.set(name, this);
  }

  accept(message: Message): Promise<string> {
    return new Promise((answer) => this.queue.push({ message, answer }));
  }

  /** Begins the next request that is not begun elsewhere. */
  work(): void {
    const next = this.queue.shift();
    if (next === undefined) return;
    const { id, twinAt } = next.message;
    const isTaken = twinAt !== undefined && !this.#peers.get(twinAt)!.drop(id);
    if (isTaken) {
      this.work();
      return;
    }
    this.#begun.add(id);
    this.worked.push(id);
    next.answer(`${this.name} did ${id}`);
  }

  /** False when it has begun it: then it is too late. */
  drop(id: string): boolean {
    const place = this.queue.findIndex(({ message }) => message.id === id);
    if (place >= 0) this.queue.splice(place, 1);
    return !this.#begun.has(id);
  }
}

describe("servers of tied requests", () => {
  const start = () => {
    const servers = new Map<string, QueueServer>();
    const all = pair.map(({ name }) => new QueueServer(name, servers));
    const { clock, random } = steady();
    const order: QueueServer[] = [];
    const ended = drain(
      call(
        [9],
        pair,
        ({ name }, _offsets, { tie }) => {
          const asked = servers.get(name)!;
          order.push(asked);
          return asked.accept({ id: tie!.id, twinAt: tie!.view?.name });
        },
        { clock, random, ...tied },
      ),
    );
    return { clock, all, order, ended };
  };

  it("can drop the first request when the second has begun: it came with the id that the second one brings", async () => {
    const { clock, order, ended } = start();
    await clock.advance(5);
    const [first, second] = order;
    expect(first).not.toBe(second);
    expect(first!.queue.map(({ message }) => message.twinAt)).toEqual([undefined]);
    expect(second!.queue.map(({ message }) => message.twinAt)).toEqual([first!.name]);
    second!.work();
    expect(first!.queue).toEqual([]);
    first!.work();
    expect([first!.worked, second!.worked.length]).toEqual([[], 1]);
    expect((await ended).chunks).toHaveLength(1);
  });

  it("can leave the second one alone when the first has begun", async () => {
    const { clock, order, ended } = start();
    await clock.advance(5);
    const [first, second] = order;
    const [waiting] = first!.queue;
    first!.work();
    second!.work();
    expect([first!.worked, second!.worked]).toEqual([[waiting!.message.id], []]);
    expect((await ended).chunks.map(({ result }) => result)).toEqual([
      `${first!.name} did ${waiting!.message.id}`,
    ]);
  });
});

describe("a tied request", () => {
  it("has its id from the start, which no other pair has, and the other view as soon as there is one", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const begin = () => drain(call([9], pair, rpc, { clock, random, ...tied }));
    const all = [begin(), begin()];
    await clock.advance(0);
    const early = sent.map(({ context }) => context.tie!);
    expect(early.map(({ view }) => view)).toEqual([undefined, undefined]);
    expect(new Set(early.map(({ id }) => id)).size).toBe(2);
    await clock.advance(5);
    const late = sent.slice(2).map(({ context }) => context.tie!);
    expect(late.map(({ id }) => id)).toEqual(early.map(({ id }) => id));
    expect(late.map(({ view }) => view?.name)).toEqual(sent.slice(0, 2).map(({ server }) => server));
    // Also whoever has kept the object from the start.
    expect(early.map(({ view }) => view?.name)).toEqual(sent.slice(2).map(({ server }) => server));
    for (const request of sent) request.resolve("x");
    await Promise.all(all);
  });

  it("that has begun first ends the other, which cannot end it any more", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const ended = drain(call([9], pair, rpc, { clock, random, ...tied }));
    await clock.advance(5);
    const [first, second] = [sent[0]!, sent[1]!];
    second.context.tie?.begun();
    expect(first.context.signal.aborted).toBe(true);
    expect(second.context.signal.aborted).toBe(false);
    first.context.tie?.begun();
    expect(second.context.signal.aborted).toBe(false);
    second.resolve("begun first");
    expect((await ended).chunks.map(({ result }) => result)).toEqual(["begun first"]);
  });

  it("that has begun before the hedge is due is not hedged", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const ended = drain(call([9], pair, rpc, { clock, random, ...tied }));
    await clock.advance(4);
    sent[0]?.context.tie?.begun();
    await clock.advance(1000);
    expect(sent).toHaveLength(1);
    sent[0]?.resolve("alone");
    expect((await ended).chunks).toHaveLength(1);
  });

  it("that takes over from one that failed keeps its id, by which the next one names it", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const views = [...pair, server("c")];
    const ended = drain(call([9], views, rpc, { clock, random, ...tied }));
    await clock.advance(5);
    sent[0]?.reject(new Error("broken"));
    await clock.advance(5);
    expect(sent).toHaveLength(3);
    const [, second, third] = sent.map(({ context }) => context.tie as Tie<Server>);
    expect(third).toMatchObject({ id: second!.id, view: { name: sent[1]!.server } });
    expect(second!.view?.name).toBe(sent[2]!.server);
    for (const request of sent) request.resolve("x");
    await ended;
    await settled();
  });

  it("has no tie without the option", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const ended = drain(call([9], pair, rpc, { clock, random, hedge: { afterMs: 5 } }));
    await clock.advance(5);
    expect(sent.map(({ context }) => context.tie)).toEqual([undefined, undefined]);
    sent[0]?.resolve("x");
    await ended;
  });
});
