import {
  type CallCredentials,
  type ChannelCredentials,
  type ChannelOptions,
  credentials as grpcCredentials,
} from "@grpc/grpc-js";
import { RegistryError } from "../errors.js";

/** The least that a server of grpc-go or etcd may be told to accept; faster pings are answered by GOAWAY ENHANCE_YOUR_CALM. */
export const minKeepaliveMs = 5_000;

export interface GrpcChannelSettings {
  /** How servers are spoken to. There is no default: plain text has to be asked for, by `credentials.createInsecure()`. */
  readonly credentials: ChannelCredentials;
  /** What each call carries, as a bearer token. Needs TLS: a token in plain text is everybody's. */
  readonly callCredentials?: CallCredentials;
  /** Laid over the defaults: pings every 10 s with 5 s to answer, reconnect pauses of 100 to 500 ms, a connection of its own, no proxy from the environment. */
  readonly channelOptions?: ChannelOptions;
}

/**
 * What a registry wants of its channels:
 * - Pings find a peer that vanished without a word, so that a new connection is made. They are slow because servers punish fast ones
 *   (5 minutes is what a server allows by default, but any data it sends resets its count); noticing quickly is the probes' work.
 * - Short reconnect pauses, so that a restarted server is back within a second.
 * - A pool of its own for each channel: what is watched is then the very connection that calls use, and the shared pool walks over
 *   all servers whenever one channel closes.
 * - No proxy from the environment, no service config from DNS: servers are spoken to directly, as they were located.
 */
const defaults: ChannelOptions = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 500,
  "grpc.dns_min_time_between_resolutions_ms": 1_000,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_channelz": 0,
};

/** @throws RegistryError "invalid-argument" */
export function channelOptions(given: ChannelOptions = {}): ChannelOptions {
  const keepaliveMs = given["grpc.keepalive_time_ms"];
  // Below zero it is off, as grpc-js has it.
  if (keepaliveMs !== undefined && !(keepaliveMs >= minKeepaliveMs || keepaliveMs < 0))
    throw new RegistryError(
      "invalid-argument",
      `grpc.keepalive_time_ms is ${String(keepaliveMs)}; it must be ${minKeepaliveMs} at least (servers close connections that ping faster), or below 0 for none`,
    );
  return { ...defaults, ...given };
}

/** @throws RegistryError "invalid-argument" */
export function channelCredentials({
  credentials,
  callCredentials,
}: GrpcChannelSettings): ChannelCredentials {
  // In plain JavaScript it may be missing, and a registry that then spoke plain text would be a bad surprise.
  if (typeof credentials?._isSecure !== "function")
    throw new RegistryError(
      "invalid-argument",
      "credentials must be ChannelCredentials of @grpc/grpc-js: credentials.createSsl(...), or credentials.createInsecure() for plain text",
    );
  if (callCredentials === undefined) return credentials;
  if (!credentials._isSecure())
    throw new RegistryError(
      "invalid-argument",
      "callCredentials need TLS: pass credentials.createSsl(...) as credentials, or leave callCredentials out",
    );
  return grpcCredentials.combineChannelCredentials(credentials, callCredentials);
}
