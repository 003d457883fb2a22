/**
 * `Tail` of the published wire: commands in, one answer for each. The first is `init`; `poll` waits a moment for messages and
 * answers with or without; `commit` acknowledges everything up to a message in its segment. Nothing is committed unasked.
 */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { TopicClient } from "../client/topic-client.js";
import { TopicError } from "../errors.js";
import type { TailRequest, TailResponse } from "../gen/ntail/streams/v1/service.js";
import { encodeMessageId, parseMessageId } from "../protocol/message-id.js";
import type { Consumer, Message } from "../subscribe/consumer.js";
import { requestsOf, signalOf, write } from "./call.js";
import { toServiceError } from "./status.js";

/** How long a poll waits for a first message. */
const POLL_WAIT_MS = 1_000;
/** Together with one message of the largest size below the 4 MiB that clients receive by default. */
const POLL_MAX_BYTES = 1024 * 1024;
const POLL_MAX_MESSAGES = 10_000;

export async function handleTail(
  client: TopicClient,
  call: ServerDuplexStream<TailRequest, TailResponse>,
  consumerName: string,
): Promise<void> {
  const signal = signalOf(call);
  let consumer: Consumer | undefined;
  try {
    for await (const request of requestsOf(call)) {
      let data: Buffer = Buffer.alloc(0);
      if (request.init) {
        if (consumer)
          throw new TopicError(
            "invalid-argument",
            "the stream is initialized already: one init a stream is allowed",
          );
        const { topic, subscription } = request.init;
        consumer = await client.subscribe(topic, subscription, { consumer: consumerName, signal });
      } else if (!consumer) {
        throw new TopicError("invalid-argument", "the first command of a stream must be init");
      } else if (request.commit) {
        await consumer.acknowledgeId(parseMessageId(request.commit.msgId));
      } else if (request.poll) {
        const limits = {
          maxMessages: POLL_MAX_MESSAGES,
          maxBytes: POLL_MAX_BYTES,
          waitMs: POLL_WAIT_MS,
          signal,
        };
        data = encodePoll(await consumer.pull(limits));
      } else {
        throw new TopicError("invalid-argument", "a command must be init, poll or commit");
      }
      await write(call, { data, eof: false }, signal);
    }
    call.end();
  } catch (error) {
    if (!signal.aborted) call.emit("error", toServiceError(error));
  } finally {
    await consumer?.close();
  }
}

/** For each message: 16 bytes of id, the length of its data as a little-endian uint32, its data. */
export function encodePoll(messages: readonly Pick<Message, "idParts" | "data">[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const { idParts, data } of messages) {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32LE(data.length);
    parts.push(encodeMessageId(idParts), length, data);
  }
  return Buffer.concat(parts);
}
