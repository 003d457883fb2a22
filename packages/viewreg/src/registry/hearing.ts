import { RegistryError } from "../errors.js";
import type { Listen, ServerInfo } from "../probe.js";
import { describe, oneLine } from "../text.js";
import type { Server, ServerHost } from "./server.js";

/** Follows what a server says unasked, until it ends, the signal is aborted, or it says what makes no sense. Never rejects. */
export async function listenTo<V extends ServerInfo, C>(
  server: Server<V, C>,
  host: ServerHost<V, C>,
  { listen, signal }: { readonly listen: Listen<C>; readonly signal: AbortSignal },
): Promise<void> {
  try {
    for await (const word of listen(server.channel, { endpoint: server.endpoint, signal })) {
      // An iterable that does not end when it is told to is not listened to any more; leaving the loop tells it again.
      if (signal.aborted) return;
      if (word !== "serving" && word !== "not-serving")
        throw new RegistryError(
          "bad-answer",
          `a server says "serving" or "not-serving", not ${describe(word)}`,
        );
      server.hearingProblems.clear();
      server.apply({ type: "heard", word, atMs: host.agenda.nowMs() });
    }
  } catch (error) {
    if (signal.aborted) return;
    if (server.hearingProblems.add("listen-failed", error))
      host.telemetry.problem("listen", {
        event: "listen-failed",
        endpoint: server.key,
        reason: oneLine(error),
        error,
      });
  }
  // Nobody tells any more whether it still holds.
  if (!signal.aborted) server.apply({ type: "heard", word: "nothing", atMs: host.agenda.nowMs() });
}
