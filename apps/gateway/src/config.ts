/** Flags and environment of `serve`, checked. Each option names the variable that it is read from when its flag is not given. */
import { resolve } from "node:path";
import type { GatewayServerLimits } from "@x/topic-gateway";
import { type Endpoint, parseEndpoint } from "@x/viewreg";
import { InvalidArgumentError, Option } from "commander";
import {
  type ArchiveConfig,
  type ArchiveFlags,
  archiveOptions,
  toArchiveConfig,
} from "./archive/archive-config.js";
import { count } from "./config-values.js";
import { type GrpcFlags, grpcOptions, toGrpcLimits } from "./grpc-limits.js";
import { type HttpConfig, type HttpFlags, httpOptions, toHttpConfig } from "./http/http-config.js";

export type Role = "all" | "gateway" | "buffer";

export interface ServeConfig {
  readonly role: Role;
  readonly http: Endpoint;
  readonly httpConfig: HttpConfig;
  readonly grpc: Endpoint;
  readonly grpcLimits: GatewayServerLimits;
  /** Holds everything durable that this process owns. */
  readonly dataDirectory: string;
  /** Empty: coordination is embedded, in the data directory. */
  readonly etcd: readonly string[];
  /** How many buffers `all` has. */
  readonly buffers: number;
  /** Of a buffer's lease: how long its ranges stay its own when it goes silent. */
  readonly leaseTtlMs: number;
  readonly segmentMaxBytes: number;
  readonly segmentMaxAgeMs: number;
  readonly archive: ArchiveConfig;
}

export interface ServeFlags extends ArchiveFlags, GrpcFlags, HttpFlags {
  readonly role: Role;
  readonly http: Endpoint;
  readonly grpc: Endpoint;
  readonly data: string;
  readonly etcd: readonly string[];
  readonly buffers: number;
  readonly leaseTtlMs: number;
  readonly segmentMaxBytes: number;
  readonly segmentMaxAgeMs: number;
}

/** The options that `serve` and `demo` share. Each can also come from the environment variable that it names. */
export function serveOptions(): Option[] {
  return [
    new Option("--role <role>", "what this process is")
      .env("X_GATEWAY_ROLE")
      .choices(["all", "gateway", "buffer"])
      .default("all"),
    new Option("--http <host:port>", "where HTTP and the page are served; port 0 takes a free one")
      .env("X_GATEWAY_HTTP")
      .argParser(endpoint)
      .default({ host: "127.0.0.1", port: 8080 }, "127.0.0.1:8080"),
    new Option("--grpc <host:port>", "where gRPC is served; port 0 takes a free one")
      .env("X_GATEWAY_GRPC")
      .argParser(endpoint)
      .default({ host: "127.0.0.1", port: 9090 }, "127.0.0.1:9090"),
    new Option("--data <dir>", "where everything durable is kept").env("X_GATEWAY_DATA").default("data"),
    new Option("--etcd <urls>", "etcd endpoints, separated by commas; without them coordination is embedded")
      .env("X_GATEWAY_ETCD")
      .argParser(etcdUrls)
      .default([], "embedded"),
    new Option("--buffers <count>", "buffers in this process, when it is all in one")
      .env("X_GATEWAY_BUFFERS")
      .argParser(count(1, 64))
      .default(3),
    new Option("--lease-ttl-ms <ms>", "how long the ranges of a silent buffer stay its own")
      .env("X_GATEWAY_LEASE_TTL_MS")
      .argParser(count(1_000, 600_000))
      .default(5_000),
    new Option("--segment-max-bytes <bytes>", "a segment of this size is sealed and a new one begun")
      .env("X_GATEWAY_SEGMENT_MAX_BYTES")
      .argParser(count(64 * 1024, 2 ** 40))
      .default(64 * 1024 * 1024),
    new Option("--segment-max-age-ms <ms>", "a segment with messages is sealed at this age")
      .env("X_GATEWAY_SEGMENT_MAX_AGE_MS")
      .argParser(count(1_000, 2 ** 40))
      .default(10 * 60_000),
    ...archiveOptions(),
    ...httpOptions(),
    ...grpcOptions(),
  ];
}

/** @throws InvalidArgumentError for what is wrong only together */
export function toServeConfig(flags: ServeFlags): ServeConfig {
  const { role, http, grpc, data, etcd, buffers, leaseTtlMs, segmentMaxBytes, segmentMaxAgeMs } = flags;
  if (role !== "all" && etcd.length === 0) {
    throw new InvalidArgumentError(
      `--role ${role} needs --etcd URLS: embedded coordination is for one process that is all in one`,
    );
  }
  const dataDirectory = resolve(data);
  const archive = toArchiveConfig(flags, dataDirectory);
  return {
    role,
    http,
    httpConfig: toHttpConfig(flags),
    grpc,
    grpcLimits: toGrpcLimits(flags),
    dataDirectory,
    etcd,
    buffers,
    leaseTtlMs,
    segmentMaxBytes,
    segmentMaxAgeMs,
    archive,
  };
}

function endpoint(text: string): Endpoint {
  try {
    return parseEndpoint(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function etcdUrls(text: string): string[] {
  const urls = text
    .split(",")
    .map((url) => url.trim())
    .filter((url) => url !== "");
  const wrong = urls.find((url) => !URL.canParse(url.includes("://") ? url : `http://${url}`));
  if (wrong === undefined && urls.length > 0) return urls;
  throw new InvalidArgumentError(
    `${JSON.stringify(wrong ?? text)} is not an etcd endpoint such as http://127.0.0.1:2379`,
  );
}
