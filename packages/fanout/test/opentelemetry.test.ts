import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterEach, describe, expect, it } from "vitest";
import { createFanout, type FanoutOptions } from "../src/index.js";
import { traceFanout } from "../src/opentelemetry.js";
import { drain, handAnswered, type Server, server, steady } from "./support/servers.js";

const exporter = new InMemorySpanExporter();
const tracer = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).getTracer(
  "test",
);

afterEach(() => exporter.reset());

const byName = (name: string): ReadableSpan[] =>
  exporter.getFinishedSpans().filter((span) => span.name === name);

function traced(options: FanoutOptions<Server> = {}) {
  const { clock, random } = steady();
  const onEvent = traceFanout<Server>(tracer, {
    attributes: { "service.shard": 7 },
    serverText: ({ name }) => name,
  });
  return { clock, fanout: createFanout<Server>({ clock, random, onEvent, ...options }) };
}

describe("traceFanout", () => {
  it("makes a span for the call and one below it for each request", async () => {
    const { fanout } = traced();
    const views = [server("low", 0, 100), server("high", 100, 200)];
    await drain(fanout.call([1, 2, 150], views, async () => "ok"));
    const [call] = byName("fanout");
    expect(call?.attributes).toEqual({
      "service.shard": 7,
      "fanout.points": 3,
      "fanout.requests": 2,
      "fanout.uncovered": 0,
      "fanout.satisfied": 3,
      "fanout.failed": 0,
    });
    expect(call?.status.code).toBe(SpanStatusCode.UNSET);
    const requests = byName("fanout.request");
    expect(requests.map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual(
      Array(2).fill(call?.spanContext().spanId),
    );
    expect(requests.map(({ attributes }) => attributes)).toEqual(
      expect.arrayContaining([
        {
          "service.shard": 7,
          "fanout.points": 2,
          "fanout.attempt": 1,
          "fanout.kind": "send",
          "fanout.server": "low",
          "fanout.outcome": "end",
        },
      ]),
    );
  });

  it("tells failures, re-sends, hedges and losers apart", async () => {
    const { clock, fanout } = traced({ hedge: { afterMs: 50 } });
    const { sent, rpc } = handAnswered();
    const ended = drain(fanout.call([1], [server("a"), server("b"), server("c")], rpc));
    await clock.advance(0);
    sent[0]?.reject(new Error("broken"));
    await clock.advance(40);
    await clock.advance(60);
    expect(sent.length).toBe(3);
    sent[2]?.resolve("hedged");
    await ended;
    const requests = byName("fanout.request").map(({ attributes, status }) => [
      attributes["fanout.kind"],
      attributes["fanout.outcome"],
      attributes["fanout.error_class"],
      status.message,
    ]);
    expect(requests).toHaveLength(3);
    expect(requests).toEqual(
      expect.arrayContaining([
        ["send", "fail", "retryable", "broken"],
        ["retry", "lost", undefined, undefined],
        ["hedge", "end", undefined, undefined],
      ]),
    );
  });

  it("marks a call that failed, and names a view by its range when it is not told how", async () => {
    const { clock, random } = steady();
    const fanout = createFanout<Server>({ clock, random, onEvent: traceFanout(tracer, { name: "lookup" }) });
    await drain(fanout.call([1], [server("a", 0, 9)], async () => Promise.reject({ code: 3 })));
    expect(byName("lookup")[0]?.status.code).toBe(SpanStatusCode.ERROR);
    expect(byName("lookup.request")[0]?.attributes["fanout.server"]).toContain("[0, 9)");
  });

  it("puts the call's span below the span that is active where it is iterated", async () => {
    const { fanout } = traced();
    const parent = tracer.startSpan("parent");
    // Without a context manager, the API's own `with` keeps no context: this one does, for as long as a function runs.
    let active = context.active();
    context.setGlobalContextManager({
      active: () => active,
      with(next, task, self, ...args) {
        const before = active;
        active = next;
        try {
          return task.call(self as ThisParameterType<typeof task>, ...args);
        } finally {
          active = before;
        }
      },
      bind: (_, target) => target,
      enable() {
        return this;
      },
      disable() {
        return this;
      },
    });
    try {
      const started = fanout.call([1], [server("a")], async () => "ok");
      const first = context.with(trace.setSpan(context.active(), parent), () => started.next());
      await first;
      await drain(started);
    } finally {
      context.disable();
    }
    parent.end();
    expect(byName("fanout")[0]?.parentSpanContext?.spanId).toBe(parent.spanContext().spanId);
  });

  it("keeps nothing of calls that are over", async () => {
    const onEvent = traceFanout<Server>(tracer);
    const { clock, random } = steady();
    const fanout = createFanout<Server>({ clock, random, onEvent });
    for (let count = 0; count < 10; count++) {
      for await (const _ of fanout.call(
        [1, 150],
        [server("low", 0, 100), server("high", 100, 200)],
        async () => 1,
      ))
        break;
    }
    expect(byName("fanout")).toHaveLength(10);
    expect(byName("fanout.request")).toHaveLength(20);
  });
});
