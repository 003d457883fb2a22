/** The flags of the gRPC server: how much of it strangers may take. */
import type { GatewayServerLimits } from "@x/topic-gateway";
import { Option } from "commander";
import { count } from "./config-values.js";

export const DEFAULT_GRPC_LIMITS: Required<GatewayServerLimits> = {
  maxBytes: 256 * 1024 * 1024,
  maxCalls: 4_096,
  maxConnections: 1_024,
  stallTimeoutMs: 30_000,
};

export interface GrpcFlags {
  readonly grpcMaxBytes: number;
  readonly grpcMaxCalls: number;
  readonly grpcMaxConnections: number;
  readonly grpcStallTimeoutMs: number;
}

export function grpcOptions(): Option[] {
  return [
    new Option(
      "--grpc-max-bytes <bytes>",
      "of all calls of a gateway together, messages that arrive or are unanswered, and answers that are not taken",
    )
      .env("X_GATEWAY_GRPC_MAX_BYTES")
      .argParser(count(16 * 1024 * 1024, 2 ** 40))
      .default(DEFAULT_GRPC_LIMITS.maxBytes),
    new Option("--grpc-max-calls <count>", "open calls of a gateway; more are refused")
      .env("X_GATEWAY_GRPC_MAX_CALLS")
      .argParser(count(1, 1_000_000))
      .default(DEFAULT_GRPC_LIMITS.maxCalls),
    new Option("--grpc-max-connections <count>", "of a gateway; more are closed at once")
      .env("X_GATEWAY_GRPC_MAX_CONNECTIONS")
      .argParser(count(1, 1_000_000))
      .default(DEFAULT_GRPC_LIMITS.maxConnections),
    new Option(
      "--grpc-stall-timeout-ms <ms>",
      "within it a message has to arrive, and an answer of a gateway has to be taken",
    )
      .env("X_GATEWAY_GRPC_STALL_TIMEOUT_MS")
      .argParser(count(1_000, 3_600_000))
      .default(DEFAULT_GRPC_LIMITS.stallTimeoutMs),
  ];
}

export function toGrpcLimits(flags: GrpcFlags): Required<GatewayServerLimits> {
  return {
    maxBytes: flags.grpcMaxBytes,
    maxCalls: flags.grpcMaxCalls,
    maxConnections: flags.grpcMaxConnections,
    stallTimeoutMs: flags.grpcStallTimeoutMs,
  };
}
