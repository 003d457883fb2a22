import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { parseMessage } from "../http/json-message.js";
import type { GatewayHttp } from "./gateway-http.js";
import { isClosedStdout, print, progress } from "./output.js";

const BATCH_MESSAGES = 1_000;
const BATCH_BYTES = 4 * 1024 * 1024;
/** What was read is sent when no further line came for so long: stdin may be a person, or a log that grows. */
const IDLE_MS = 20;

/**
 * Appends the lines of stdin, in order, some at a time. Prints the id of each.
 * @throws an Error that says which lines were appended, and from which one on none was
 */
export async function append(
  gateway: GatewayHttp,
  topic: string,
  { key }: { readonly key?: string },
): Promise<void> {
  const path = `/v1/topics/${encodeURIComponent(topic)}/messages`;
  const status = progress();
  let lines: string[] = [];
  let bytes = 0;
  let appended = 0;
  /** Of the first line that is not appended, counted from 1 over all lines of stdin. */
  let first = 1;
  let last = 0;

  const flush = async (): Promise<void> => {
    if (lines.length > 0) {
      const { ids } = await gateway.postLines(path, lines);
      await print(...ids.map((id) => ({ id })));
      appended += ids.length;
      status.show(`appended ${appended}`);
    }
    lines = [];
    bytes = 0;
    first = last + 1;
  };
  const take = (line: string): void => {
    if (key === undefined && line.trim() === "") return;
    const text = key === undefined ? line : JSON.stringify({ key, data: line });
    parseMessage(text, `line ${last + 1}`);
    lines.push(text);
    bytes += Buffer.byteLength(text);
  };

  const stdin = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    const reading = stdin[Symbol.asyncIterator]();
    for (;;) {
      const next = reading.next();
      const idle = new AbortController();
      const waiting = lines.length > 0 ? setTimeout(IDLE_MS, "idle", { signal: idle.signal }) : undefined;
      const read = await Promise.race(waiting ? [next, waiting] : [next]);
      if (read === "idle") await flush();
      idle.abort();
      waiting?.catch(() => {});
      const { done, value } = await next;
      if (done) break;
      try {
        take(value);
      } catch (error) {
        // What was good before it is appended all the same, as it would have been without a bad line behind it.
        await flush();
        throw error;
      }
      last += 1;
      if (lines.length >= BATCH_MESSAGES || bytes >= BATCH_BYTES) await flush();
    }
    await flush();
  } catch (error) {
    if (isClosedStdout(error)) throw error;
    status.end(`appended ${appended}`);
    const from =
      last <= first
        ? `line ${first} and all lines behind it`
        : `lines ${first} to ${last} and all behind them`;
    throw new Error(`${(error as Error).message}; ${from} were not appended, or not acknowledged`, {
      cause: (error as Error).cause,
    });
  } finally {
    stdin.close();
  }
  status.end(`appended ${appended}`);
}
