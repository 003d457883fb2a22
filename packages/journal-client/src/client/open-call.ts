import { Metadata, type MethodDefinition, status } from "@grpc/grpc-js";
import { JournalError } from "../errors.js";
import { type Authorizer, checkToken } from "./auth.js";
import type { CallScope } from "./call-scope.js";
import type { Scope } from "./claims.js";
import type { Connection, Destination, Dispatcher } from "./dispatcher.js";
import { type CallEnd, transportError } from "./transport-error.js";

export type Method = MethodDefinition<Buffer, Buffer>;

/** What a call is, before a broker was chosen for it. */
export interface CallPlan {
  readonly method: Method;
  readonly destination: Destination;
  /** Asked for when there is an authorizer. */
  readonly scope: () => Scope;
}

/** A broker was chosen, and what the call carries. */
export interface OpenCall {
  readonly connection: Connection;
  readonly metadata: Metadata;
  /** The error of the call's end, undefined when it ended well. Says to the dispatcher how it went: once. */
  finish(end: CallEnd): JournalError | undefined;
}

export interface CallOpener {
  readonly dispatcher: Dispatcher;
  readonly auth: Authorizer | undefined;
}

/** Asks for the authorization, and for the broker: nothing is sent before both are there. At once when there is nothing to wait for. */
export function openCall(
  { dispatcher, auth }: CallOpener,
  plan: CallPlan,
  call: CallScope,
): OpenCall | Promise<OpenCall> {
  const metadata = new Metadata();
  if (auth === undefined) {
    const connection = dispatcher.connect(plan.destination, call);
    if (!(connection instanceof Promise)) return opened(connection, metadata, plan);
    return connection.then((connection) => opened(connection, metadata, plan));
  }
  return (async () => {
    metadata.set("authorization", `Bearer ${await token(auth, plan.scope(), call)}`);
    return opened(await dispatcher.connect(plan.destination, call), metadata, plan);
  })();
}

function opened(
  connection: Connection,
  metadata: Metadata,
  { method, destination: { journal } }: CallPlan,
): OpenCall {
  const endpoint = connection.channel.endpoint.url;
  return {
    connection,
    metadata,
    finish: (end) => {
      connection.release(end.code);
      if (end.code === status.OK) return undefined;
      return transportError(end, { path: method.path, endpoint, journal });
    },
  };
}

async function token(auth: Authorizer, { claims, expiresInMs }: Scope, call: CallScope): Promise<string> {
  let given: unknown;
  try {
    given = await call.race(auth.authorize(claims, { expiresInMs, signal: call.signal }));
  } catch (cause) {
    call.signal.throwIfAborted();
    if (cause instanceof JournalError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new JournalError("transport", `No authorization was given for the call: ${reason}`, {
      cause,
      grpcCode: status.UNAUTHENTICATED,
      nothingSent: true,
    });
  }
  checkToken(given);
  return given;
}
