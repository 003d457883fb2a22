/** The flags of the HTTP server: the names that it answers to, and how much of it strangers may take. */
import { InvalidArgumentError, Option } from "commander";
import { count } from "../config-values.js";

export interface HttpLimits {
  /** Of all requests together, what has arrived of their bodies: beyond it new ones are refused with 503. Default: 256 MiB. */
  readonly maxBodyBytes: number;
  /** Of all requests together, what their messages take until they are durable: beyond it new ones are refused with 429. Default: 128 MiB. */
  readonly maxUnansweredBytes: number;
  /** Beyond it connections are closed at once. Tails and waiting pulls have one each. Default: 4,096. */
  readonly maxConnections: number;
  /** Within it a request has to arrive as a whole, and its headers within 10 s. Default: 30 s. */
  readonly requestTimeoutMs: number;
}

export const MAX_BODY_BYTES: number = 32 * 1024 * 1024;

export const DEFAULT_HTTP_LIMITS: HttpLimits = {
  maxBodyBytes: 8 * MAX_BODY_BYTES,
  maxUnansweredBytes: 4 * MAX_BODY_BYTES,
  maxConnections: 4_096,
  requestTimeoutMs: 30_000,
};

export interface HttpConfig {
  /** Names that the `Host` of a request may have, beside IP addresses, localhost and the name that is listened on. In lower case. */
  readonly hosts: readonly string[];
  readonly limits: HttpLimits;
}

export interface HttpFlags {
  readonly httpAllowHost?: readonly string[];
  readonly httpMaxBodyBytes: number;
  readonly httpMaxUnansweredBytes: number;
  readonly httpMaxConnections: number;
  readonly httpRequestTimeoutMs: number;
}

// Room for the largest request that is allowed, which would be refused for ever otherwise.
const bytes = count(2 * MAX_BODY_BYTES, 2 ** 40);

export function httpOptions(): Option[] {
  return [
    new Option(
      "--http-allow-host <name>",
      "a name of this gateway, beside IP addresses and localhost; repeated, or several separated by commas",
    )
      .env("X_GATEWAY_HTTP_ALLOW_HOST")
      .argParser(hostNames),
    new Option("--http-max-body-bytes <bytes>", "of all requests together, what has arrived of their bodies")
      .env("X_GATEWAY_HTTP_MAX_BODY_BYTES")
      .argParser(bytes)
      .default(DEFAULT_HTTP_LIMITS.maxBodyBytes),
    new Option(
      "--http-max-unanswered-bytes <bytes>",
      "of all requests together, messages that are not durable yet",
    )
      .env("X_GATEWAY_HTTP_MAX_UNANSWERED_BYTES")
      .argParser(bytes)
      .default(DEFAULT_HTTP_LIMITS.maxUnansweredBytes),
    new Option("--http-max-connections <count>", "more are closed at once")
      .env("X_GATEWAY_HTTP_MAX_CONNECTIONS")
      .argParser(count(1, 1_000_000))
      .default(DEFAULT_HTTP_LIMITS.maxConnections),
    new Option("--http-request-timeout-ms <ms>", "within it a request has to arrive as a whole")
      .env("X_GATEWAY_HTTP_REQUEST_TIMEOUT_MS")
      .argParser(count(1_000, 3_600_000))
      .default(DEFAULT_HTTP_LIMITS.requestTimeoutMs),
  ];
}

export function toHttpConfig(flags: HttpFlags): HttpConfig {
  return {
    hosts: flags.httpAllowHost ?? [],
    limits: {
      maxBodyBytes: flags.httpMaxBodyBytes,
      maxUnansweredBytes: flags.httpMaxUnansweredBytes,
      maxConnections: flags.httpMaxConnections,
      requestTimeoutMs: flags.httpRequestTimeoutMs,
    },
  };
}

function hostNames(text: string, before: readonly string[] | undefined): string[] {
  const names = text.split(",").map((name) => name.trim().toLowerCase());
  const wrong = names.find((name) => !/^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?$/.test(name));
  if (wrong === undefined) return [...(before ?? []), ...names];
  throw new InvalidArgumentError(
    `${JSON.stringify(wrong)} is not a name such as gateway.example.org, without a port`,
  );
}
