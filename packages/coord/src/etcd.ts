/**
 * The coordination port on etcd 3.4.25, 3.5.8 or newer (older ones may tell of a watch's progress before its events),
 * by way of the npm package etcd3 1.1.2 or newer.
 */
import type { Etcd3 } from "etcd3";
import type { Clock } from "./clock.js";
import { CoordError } from "./errors.js";
import { EtcdCoord } from "./etcd/coord.js";
import { Endpoints } from "./etcd/endpoints.js";
import type { Auth, Credentials, GrpcOptions } from "./etcd/wire.js";
import type { Coord } from "./port.js";
import { systemClock, systemRandomBytes } from "./system.js";

export interface EtcdCoordSettings {
  /**
   * How long a call may take before it fails with "unavailable", and a watch's stream may be without a word after it
   * was asked for one. Default 5,000.
   */
  readonly requestTimeoutMs?: number;
  /** A watch asks its server for a sign of life after so long without a word from it. Default 5,000. */
  readonly probeIntervalMs?: number;
  /**
   * The longest pause between two attempts of a watch to connect; the first are shorter, all are random parts of it.
   * Default 2,000.
   */
  readonly maxReconnectDelayMs?: number;
  /**
   * A watch whose reader is behind by about so much stops reading from etcd, which then keeps the rest in its
   * database; if that part is compacted before the reader comes to it, the watch ends with "compacted". Default 4
   * MiB.
   */
  readonly watchQueueBytes?: number;
  /** Default: the process's. */
  readonly clock?: Clock;
  /** For the choice of the first member and the pauses. Default: the operating system's. */
  readonly randomBytes?: (count: number) => Uint8Array;
}

export interface EtcdHosts extends EtcdCoordSettings {
  /**
   * Members of one cluster, as `http://host:port` or `https://host:port`, or `host:port` for the former. One is used
   * until it fails, then the next one.
   */
  readonly hosts: string | readonly string[];
  /** Certificates for https. Default: the system's authorities and no client certificate. */
  readonly credentials?: Credentials;
  /** User name and password. */
  readonly auth?: Auth;
  /**
   * Channel options of gRPC. Default: no limit on the size of an answer (gRPC's own is 4 MiB, which a range or a
   * watch that catches up soon exceeds), HTTP/2 keepalive every 10 s (etcd refuses less than 5), reconnects within 2
   * s.
   */
  readonly grpcOptions?: GrpcOptions;
}

export interface EtcdClient extends EtcdCoordSettings {
  /**
   * A client to share. It stays the caller's to close, and keeps its own options: its circuit breakers fail calls on
   * their own, and without `grpc.max_receive_message_length` answers above 4 MiB fail. It never repeats a call for
   * this coord.
   */
  readonly client: Etcd3;
}

export type EtcdCoordOptions = EtcdHosts | EtcdClient;

const GRPC_DEFAULTS = {
  "grpc.max_receive_message_length": -1,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
} satisfies GrpcOptions;

/**
 * Coordination on real etcd. Connects with the first call.
 *
 * - A call fails at once with "unavailable" when its member does; only reads are tried on the other members. A
 *   transaction or a grant that failed so may have been done.
 * - Once an answer shows that the database is another one, or went back, everything fails with "history-lost" for the
 *   rest of this object's life. A wiped database that reaches a higher revision than any seen here before it is
 *   talked to again goes unnoticed.
 * - Leases have whole seconds, and at least one and a half election timeouts (2 s with etcd's defaults).
 *
 * @throws CoordError "invalid-argument"
 */
export function etcdCoord(options: EtcdCoordOptions): Coord {
  const randomBytes = options.randomBytes ?? systemRandomBytes;
  const random = (): number => new DataView(randomBytes(4).slice().buffer).getUint32(0) / 2 ** 32;
  return new EtcdCoord({
    endpoints: "client" in options ? Endpoints.of(options.client) : openEndpoints(options, random()),
    clock: options.clock ?? systemClock,
    random,
    requestTimeoutMs: positive(options.requestTimeoutMs ?? 5_000, "requestTimeoutMs"),
    probeIntervalMs: positive(options.probeIntervalMs ?? 5_000, "probeIntervalMs"),
    maxReconnectDelayMs: positive(options.maxReconnectDelayMs ?? 2_000, "maxReconnectDelayMs"),
    queueBytes: positive(options.watchQueueBytes ?? 4 * 1024 * 1024, "watchQueueBytes"),
  });
}

function openEndpoints(options: EtcdHosts, random: number): Endpoints {
  const hosts = typeof options.hosts === "string" ? [options.hosts] : [...options.hosts];
  if (hosts.length === 0)
    throw new CoordError("invalid-argument", "hosts must name at least one member of etcd");
  for (const host of hosts) {
    if (typeof host !== "string" || !/^(https?:\/\/)?[^/\s]+$/.test(host)) {
      throw new CoordError(
        "invalid-argument",
        `a host is http://host:port or https://host:port, not ${JSON.stringify(host)}`,
      );
    }
  }
  const { credentials, auth } = options;
  const grpcOptions = { ...GRPC_DEFAULTS, ...options.grpcOptions };
  return Endpoints.open(hosts, { credentials, auth, grpcOptions }, Math.floor(random * hosts.length));
}

function positive(value: number, name: string): number {
  if (!(Number.isFinite(value) && value > 0)) {
    throw new CoordError("invalid-argument", `${name} must be a number above 0, not ${String(value)}`);
  }
  return value;
}
