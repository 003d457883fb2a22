/**
 * `Append` of the published wire: one message a request, one answer each, in the order in which they come to pass. Every request is
 * answered, also after the client ended its side. A message that was not acknowledged in time fails those of its key behind it.
 */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { TopicClient } from "../client/topic-client.js";
import { TopicError } from "../errors.js";
import type { AppendRequest, AppendResponse } from "../gen/ntail/streams/v1/service.js";
import { requestsOf, signalOf, write } from "./call.js";
import type { ServerLoad } from "./server-load.js";
import { toServiceError } from "./status.js";

/** Requests of one stream that are unanswered, before no more are read. */
const MAX_UNANSWERED = 10_000;
const MAX_UNANSWERED_BYTES = 64 * 1024 * 1024;

/** About what a message takes beside its data until it is durable. */
const MESSAGE_BYTES = 512;

/** @param load counts what is not durable yet, also when the call has ended */
export async function handleAppend(
  client: TopicClient,
  call: ServerDuplexStream<AppendRequest, AppendResponse>,
  load: Pick<ServerLoad, "add" | "remove">,
): Promise<void> {
  const signal = signalOf(call);
  let unanswered = 0;
  let unansweredBytes = 0;
  let wake: (() => void) | undefined;
  let writing: Promise<void> | undefined;

  const answer = (reqId: bigint, size: number, result: Pick<AppendResponse, "msgId" | "errorCode">): void => {
    unanswered -= 1;
    unansweredBytes -= size;
    load.remove(MESSAGE_BYTES + size);
    const response = { reqId, ...result };
    // While the client does not take answers, no more requests are read; those that were read are still answered.
    if (writing) call.write(response);
    else {
      writing = write(call, response, signal)?.finally(() => {
        writing = undefined;
      });
    }
    wake?.();
  };

  try {
    for await (const { reqId, topic, key, data } of requestsOf(call)) {
      unanswered += 1;
      // Not the data itself, which is held no longer than until it is encoded.
      const size = data.length;
      unansweredBytes += size;
      load.add(MESSAGE_BYTES + size);
      // A client that goes away does not take back what it sent: an abort here would leave open what became of it.
      client.publish(topic, { key, data }).then(
        (msgId) => answer(reqId, size, { msgId }),
        (error) => answer(reqId, size, { errorCode: toServiceError(error).code }),
      );
      await writing;
      while (unanswered >= MAX_UNANSWERED || unansweredBytes >= MAX_UNANSWERED_BYTES) await nextAnswer();
    }
    while (unanswered > 0) await nextAnswer();
    call.end();
  } catch (error) {
    if (!signal.aborted)
      call.emit(
        "error",
        toServiceError(
          error instanceof TopicError
            ? error
            : new TopicError("invalid-argument", "could not read the request", { cause: error }),
        ),
      );
  }

  function nextAnswer(): Promise<void> {
    return new Promise((resolve) => {
      wake = resolve;
    });
  }
}
