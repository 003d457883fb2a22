import type { GoServer } from "./go-build.js";

/** etcd 3.6.16, pinned in `servers/etcd`. */
export const etcdBuild: GoServer = { name: "etcd", package: "go.etcd.io/etcd/server/v3" };

/** NATS server 2.15.2, pinned in `servers/nats`. */
export const natsBuild: GoServer = { name: "nats", package: "github.com/nats-io/nats-server/v2" };
