import type { ChannelOptions } from "@grpc/grpc-js";
import { JournalError } from "../errors.js";

/** Less is answered with GOAWAY by every server of grpc-go, however it is set up. */
const MIN_KEEPALIVE_MS = 10_000;

/**
 * - A window of 4 MiB: with the default of 64 KiB a read has a third of the speed.
 * - Answers of up to 64 MiB: a page of 10,000 fragments with signed URLs is above the default of 4 MiB.
 * - Pings every five minutes, and only while calls run: that is what a broker tolerates whose other side is quiet (the default of grpc-go; what
 *   is more often ends the connection, and with it every blocked read). A broker on another machine that vanished is noticed so late; those
 *   who want it sooner and set up their brokers for it lower `grpc.keepalive_time_ms`.
 * - Reconnects within a second, a connection of its own for each client, no proxy and no service config from the environment.
 */
const DEFAULTS: ChannelOptions = {
  "grpc-node.flow_control_window": 4 * 1024 * 1024,
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  "grpc.max_send_message_length": -1,
  "grpc.keepalive_time_ms": 300_000,
  "grpc.keepalive_timeout_ms": 20_000,
  "grpc.keepalive_permit_without_calls": 0,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.dns_min_time_between_resolutions_ms": 1_000,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
};

/** @throws JournalError "invalid-argument" */
export function fullChannelOptions(given: ChannelOptions = {}): ChannelOptions {
  const keepaliveMs = given["grpc.keepalive_time_ms"];
  if (keepaliveMs !== undefined && !(keepaliveMs >= MIN_KEEPALIVE_MS || keepaliveMs < 0)) {
    throw new JournalError(
      "invalid-argument",
      `channelOptions["grpc.keepalive_time_ms"] is ${String(keepaliveMs)}: it must be ${MIN_KEEPALIVE_MS} at least (brokers end connections that ping faster), or below 0 for no pings.`,
    );
  }
  return { ...DEFAULTS, ...given };
}
