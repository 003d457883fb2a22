import { fileURLToPath } from "node:url";
import type { GoServer } from "./go-build.js";

/** etcd 3.6.16, pinned in `servers/etcd`. */
export const etcdBuild: GoServer = { name: "etcd", package: "go.etcd.io/etcd/server/v3" };

/** NATS server 2.15.2, pinned in `servers/nats`. */
export const natsBuild: GoServer = { name: "nats", package: "github.com/nats-io/nats-server/v2" };

/** The Gazette broker v0.103.0, pinned in `servers/gazette`. Its Zstandard is the C library's. */
export const gazetteBuild: GoServer = {
  name: "gazette",
  package: "go.gazette.dev/core/cmd/gazette",
  cgo: true,
};

/** Gazette's command line tool, of the same module. */
export const gazctlBuild: GoServer = {
  name: "gazctl",
  package: "go.gazette.dev/core/cmd/gazctl",
  // The same from src/servers and from dist/servers.
  module: fileURLToPath(new URL("../../servers/gazette/", import.meta.url)),
  cgo: true,
};

/** Our program on the Go client of the same Gazette: `servers/gazette-peer/main.go` tells what it does. */
export const gazettePeerBuild: GoServer = { name: "gazette-peer", package: ".", cgo: true };

/** Our program on bobg/bs v0.4.0: `servers/bs-peer/main.go` tells what it does. */
export const bsPeerBuild: GoServer = { name: "bs-peer", package: "." };

/** toxiproxy 2.5.0, pinned in `servers/toxiproxy`. */
export const toxiproxyBuild: GoServer = {
  name: "toxiproxy",
  package: "github.com/Shopify/toxiproxy/v2/cmd/server",
};

/** versitygw 1.8.0, an S3 server over a folder, pinned in `servers/versitygw`. */
export const versitygwBuild: GoServer = {
  name: "versitygw",
  package: "github.com/versity/versitygw/cmd/versitygw",
};

/** All of them, what shares most code in a row: to warm the cache in one go with `buildGoServers`. */
export const goServers: readonly GoServer[] = [
  etcdBuild,
  gazetteBuild,
  gazctlBuild,
  gazettePeerBuild,
  bsPeerBuild,
  toxiproxyBuild,
  versitygwBuild,
  natsBuild,
];
