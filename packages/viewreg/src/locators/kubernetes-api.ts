import { RegistryError } from "../errors.js";
import { describe, oneLine } from "../text.js";

export interface KubernetesResponse {
  readonly status: number;
  /** Leaving its loop ends the request. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** One GET. Resolves with the head of the response; rejects, and its body throws, when the connection fails or the signal is aborted. */
export type KubernetesHttp = (
  url: string,
  options: {
    readonly headers: Readonly<Record<string, string>>;
    readonly ca?: string;
    readonly signal: AbortSignal;
  },
) => Promise<KubernetesResponse>;

/** A text, or how to get it anew each time it is needed. */
export type Secret = string | (() => Promise<string>);

export interface ApiOptions {
  readonly server: string;
  readonly token: Secret | undefined;
  readonly ca: Secret | undefined;
  readonly http: KubernetesHttp;
}

/** Of one list page, or one line of a watch. */
const maxJsonBytes = 67_108_864;

/** The state asked for is not kept any more: list again. */
export class Gone extends Error {}

/** @throws RegistryError "unavailable", Gone */
export async function get(path: string, api: ApiOptions, signal: AbortSignal): Promise<KubernetesResponse> {
  // Tokens in pods are replaced before they expire. One that was read just before that may be refused, the next one is not.
  for (let attempt = 1; ; attempt++) {
    const response = await attemptGet(path, api, signal);
    if (response.status === 200) return response;
    const said = await sentence(response);
    if (response.status === 410) throw new Gone(said);
    if (response.status === 401 && attempt === 1 && typeof api.token === "function") continue;
    throw new RegistryError("unavailable", `the Kubernetes API answered ${response.status}: ${said}`);
  }
}

async function attemptGet(
  path: string,
  { server, token, ca, http }: ApiOptions,
  signal: AbortSignal,
): Promise<KubernetesResponse> {
  const secret = await reveal(token);
  const authority = await reveal(ca);
  signal.throwIfAborted();
  const headers = {
    accept: "application/json",
    ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
  };
  try {
    return await http(`${server}${path}`, {
      headers,
      signal,
      ...(authority === undefined ? {} : { ca: authority }),
    });
  } catch (cause) {
    signal.throwIfAborted();
    const why = oneLine(cause);
    throw new RegistryError("unavailable", `the Kubernetes API can't be reached: ${why}`, { cause });
  }
}

async function reveal(secret: Secret | undefined): Promise<string | undefined> {
  return typeof secret === "function" ? await secret() : secret;
}

/** The message of a Status object, as far as there is one. */
async function sentence({ body }: KubernetesResponse): Promise<string> {
  try {
    const status = (await readJson(body)) as { readonly message?: unknown };
    return describe(status?.message);
  } catch {
    return "without a reason";
  }
}

/** @throws RegistryError "bad-source", and what the body throws */
export async function readJson(body: AsyncIterable<Uint8Array>): Promise<unknown> {
  for await (const value of readLines(body, { isWhole: true })) return value;
  throw new RegistryError("bad-source", "the Kubernetes API answered nothing");
}

/**
 * JSON values, one a line, whatever the chunks are; or the whole body as one value, whatever lines are in it.
 * @throws RegistryError "bad-source", and what the body throws
 */
export async function* readLines(
  body: AsyncIterable<Uint8Array>,
  { isWhole = false }: { readonly isWhole?: boolean } = {},
): AsyncGenerator<unknown, void, undefined> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    let rest = chunk;
    // Cut as bytes: a chunk may end within a character, but a newline is never a part of one.
    for (let end = rest.indexOf(10); !isWhole && end >= 0; end = rest.indexOf(10)) {
      parts.push(rest.subarray(0, end));
      yield* parse(parts);
      parts = [];
      length = 0;
      rest = rest.subarray(end + 1);
    }
    parts.push(rest);
    length += rest.length;
    if (length > maxJsonBytes)
      throw new RegistryError(
        "bad-source",
        `the Kubernetes API sent more than ${maxJsonBytes} bytes at once`,
      );
  }
  // A watch that was cut off in the middle of a line ends like one that was cut between two.
  if (isWhole) yield* parse(parts);
}

function* parse(parts: readonly Uint8Array[]): Generator<unknown, void, undefined> {
  const bytes = Buffer.concat(parts);
  if (bytes.length === 0 || (bytes.length === 1 && bytes[0] === 13)) return;
  try {
    yield JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof TypeError)) throw cause;
    throw new RegistryError("bad-source", "the Kubernetes API sent what is not JSON in UTF-8", { cause });
  }
}
