/** A span for each call and each of its requests, for programs that trace with OpenTelemetry. */

import {
  type Attributes,
  type Context,
  context,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { spaceOf } from "@x/space";
import { attempt, messageOf } from "./describe.js";
import type { FanoutEvent } from "./events.js";
import { viewText } from "./failure-message.js";

export interface TraceOptions<V> {
  /** The name of a call's span; a request's is the same with `.request` behind it. Default `fanout`. */
  readonly name?: string;
  /** The text of a server in the attribute `fanout.server`. Default the view's own `toString`, otherwise its range. */
  readonly serverText?: (view: V) => string;
  /** On every span. */
  readonly attributes?: Attributes;
}

interface TracedCall {
  readonly span: Span;
  readonly context: Context;
  readonly requests: Map<number, Span>;
}

/**
 * Makes the `onEvent` of a fanout that draws its traces: `createFanout({ onEvent: traceFanout(trace.getTracer("...")) })`. One for
 * each fanout, since calls are numbered within theirs.
 *
 * The span of a call is a child of the span that is active where the call is iterated, and the span of a request is a child of its call's.
 * Attributes of a call: `fanout.points`, `fanout.requests` and `fanout.uncovered` as planned, `fanout.satisfied` and
 * `fanout.failed` at the end; its status is an error when points failed. Attributes of a request: `fanout.points`,
 * `fanout.attempt`, `fanout.kind` (`send`, `retry` or `hedge`), `fanout.server`, `fanout.outcome` (`end`, `fail`,
 * `lost`, `deadline` or `left`) and, when it failed, `fanout.error_class`. Throttling and new views are events of the call's span.
 */
export function traceFanout<V = unknown>(
  tracer: Tracer,
  options: TraceOptions<V> = {},
): (event: FanoutEvent<V>) => void {
  const { name = "fanout", attributes = {}, serverText = defaultServerText } = options;
  const calls = new Map<number, TracedCall>();

  function plan(event: Extract<FanoutEvent<V>, { type: "plan" }>): void {
    const parent = context.active();
    const span = tracer.startSpan(
      name,
      {
        attributes: {
          ...attributes,
          "fanout.points": event.points,
          "fanout.requests": event.requests,
          "fanout.uncovered": event.uncovered,
        },
      },
      parent,
    );
    calls.set(event.call, { span, context: trace.setSpan(parent, span), requests: new Map() });
  }

  function send(
    call: TracedCall,
    event: Extract<FanoutEvent<V>, { type: "send" | "retry" | "hedge" }>,
  ): void {
    const span = tracer.startSpan(
      `${name}.request`,
      {
        kind: SpanKind.CLIENT,
        attributes: {
          ...attributes,
          "fanout.points": event.points,
          "fanout.attempt": event.attempt,
          "fanout.kind": event.type,
          "fanout.server": attempt(() => serverText(event.view)) ?? "a view",
        },
      },
      call.context,
    );
    call.requests.set(event.request, span);
  }

  function endRequest(call: TracedCall, request: number, outcome: string, fail?: (span: Span) => void): void {
    const span = call.requests.get(request);
    if (span === undefined) return;
    call.requests.delete(request);
    span.setAttribute("fanout.outcome", outcome);
    fail?.(span);
    span.end();
  }

  function done(call: TracedCall, event: Extract<FanoutEvent<V>, { type: "done" }>): void {
    calls.delete(event.call);
    // There are none, unless events were missed.
    for (const span of call.requests.values()) span.end();
    call.span.setAttributes({ "fanout.satisfied": event.satisfied, "fanout.failed": event.failed });
    if (event.failed > 0) {
      call.span.setStatus({
        code: SpanStatusCode.ERROR,
        message: `${event.failed} points were not satisfied`,
      });
    }
    call.span.end();
  }

  return (event) => {
    if (event.type === "plan") {
      plan(event);
      return;
    }
    const call = calls.get(event.call);
    if (call === undefined) return;
    switch (event.type) {
      case "send":
      case "retry":
      case "hedge":
        return send(call, event);
      case "end":
        return endRequest(call, event.request, "end");
      case "cancel":
        return endRequest(call, event.request, event.reason);
      case "fail":
        return endRequest(call, event.request, "fail", (span) => {
          span.setAttribute("fanout.error_class", event.class);
          span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(event.error) });
        });
      case "throttled":
        call.span.addEvent("fanout.throttled", { "fanout.wanted": event.wanted });
        return;
      case "views":
        call.span.addEvent("fanout.views");
        return;
      case "done":
        return done(call, event);
    }
  };
}

function defaultServerText(view: unknown): string {
  const space = attempt(() =>
    typeof view === "object" && view !== null && "serves" in view
      ? spaceOf((view.serves as { readonly from: unknown }).from)
      : undefined,
  );
  return viewText(space, view);
}
