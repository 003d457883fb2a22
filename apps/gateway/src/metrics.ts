/** Prometheus metrics of one gateway process, in a registry of its own. */

import type { GatewayServer, TopicClient, TopicEvent } from "@x/topic-gateway";
import type { RegistryMetrics } from "@x/viewreg";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ArchiveStatus, ArchiveStoreStatus } from "./archive/open-archive.js";

export interface GatewayMetrics {
  readonly contentType: string;
  text(): Promise<string>;
  published(topic: string, count: number): void;
  delivered(topic: string, count: number): void;
  clientEvent(event: TopicEvent): void;
  watchClient(client: TopicClient): void;
  /** For the registry of buffers. */
  bufferRegistry(): RegistryMetrics;
  watchSessions(count: () => number): void;
  /** What requests hold now. */
  watchBytes(held: { readonly bodies: () => number; readonly unanswered: () => number }): void;
  /** What gRPC calls hold now. */
  watchGrpc(load: GatewayServer["load"]): void;
  watchArchive(status: () => ArchiveStatus): void;
  tailBegan(): void;
  tailEnded(): void;
  requestEnded(route: string, status: number, seconds: number): void;
}

export function gatewayMetrics(): GatewayMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const published = new Counter({
    name: "topic_messages_published_total",
    help: "Messages acknowledged over HTTP",
    labelNames: ["topic"],
    registers,
  });
  const delivered = new Counter({
    name: "topic_messages_delivered_total",
    help: "Messages delivered over HTTP",
    labelNames: ["topic"],
    registers,
  });
  const events = new Counter({
    name: "topic_client_events_total",
    help: "What the topic client told of itself",
    labelNames: ["type"],
    registers,
  });
  const requests = new Histogram({
    name: "http_request_duration_seconds",
    help: "HTTP requests by route and status",
    labelNames: ["route", "status"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const gauge = (name: string, help: string, value: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  };
  const tails = new Gauge({ name: "http_tails", help: "Live tails that are open over HTTP", registers });
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    published: (topic, count) => published.inc({ topic }, count),
    delivered: (topic, count) => delivered.inc({ topic }, count),
    clientEvent: ({ type }) => events.inc({ type }),
    tailBegan: () => tails.inc(),
    tailEnded: () => tails.dec(),
    watchSessions(count) {
      new Gauge({
        name: "http_consumer_sessions",
        help: "Sessions of consumers that pull over HTTP",
        registers,
        collect() {
          this.set(count());
        },
      });
    },
    watchBytes({ bodies, unanswered }) {
      gauge("http_request_body_bytes", "What has arrived of the bodies of requests over HTTP", bodies);
      gauge(
        "http_unanswered_bytes",
        "What messages take that came over HTTP and are not durable yet",
        unanswered,
      );
    },
    watchGrpc(load) {
      gauge("grpc_calls", "Calls that are open over gRPC", () => load.calls);
      gauge(
        "grpc_held_bytes",
        "Messages that arrive or are unanswered over gRPC, and answers that are not taken yet",
        () => load.bytes,
      );
    },
    watchArchive(status) {
      const perStore = (name: string, help: string, value: (store: ArchiveStoreStatus) => number): void => {
        new Gauge({
          name,
          help,
          labelNames: ["store"],
          registers,
          collect() {
            this.reset();
            for (const store of status().stores) this.set({ store: store.name }, value(store));
          },
        });
      };
      perStore(
        "topic_archive_store_healthy",
        "Whether the last call of a store of the archive worked",
        (store) => (store.healthy ? 1 : 0),
      );
      perStore(
        "topic_archive_backlog_blobs",
        "Blobs that a store of the archive does not have yet",
        (store) => store.backlog,
      );
      perStore("topic_archive_backlog_bytes", "Their bytes", (store) => store.backlogBytes);
      perStore(
        "topic_archive_backlog_oldest_seconds",
        "How long the oldest of them has been archived elsewhere",
        (store) => store.oldestMs / 1000,
      );
    },
    requestEnded: (route, status, seconds) => requests.observe({ route, status: String(status) }, seconds),
    bufferRegistry: () => ({
      probes: new Counter({
        name: "topic_buffer_probes_total",
        help: "Health checks of buffers by what came of them",
        labelNames: ["outcome"],
        registers,
      }),
      probeSeconds: new Histogram({
        name: "topic_buffer_probe_duration_seconds",
        help: "How long buffers took to answer health checks",
        buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
        registers,
      }),
      transitions: new Counter({
        name: "topic_buffer_health_transitions_total",
        help: "How often a buffer became healthy or unhealthy",
        labelNames: ["to"],
        registers,
      }),
      views: new Gauge({
        name: "topic_buffer_health",
        help: "Buffers by what the registry thinks of them",
        labelNames: ["state"],
        registers,
      }),
      errors: new Counter({
        name: "topic_buffer_registry_errors_total",
        help: "What buffers, or the store that they are looked up in, did against their contract",
        labelNames: ["kind"],
        registers,
      }),
    }),
    watchClient(client) {
      new Gauge({
        name: "topic_ranges_without_owner",
        help: "Hash ranges that no buffer leases now",
        labelNames: ["topic"],
        registers,
        collect() {
          this.reset();
          for (const { name, ranges } of client.topics.list()) {
            this.set({ topic: name }, ranges.filter(({ buffer }) => buffer === undefined).length);
          }
        },
      });
      new Gauge({
        name: "topic_buffers",
        help: "Buffers that are registered",
        registers,
        collect() {
          this.set(client.listBuffers().length);
        },
      });
    },
  };
}
