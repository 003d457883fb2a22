/**
 * Real servers for tests and benchmarks: built once, started on free loopback ports, paused, killed, wiped, and never left behind.
 */
export {
  askBsPeer,
  type BsPeerFigures,
  BsServer,
  type BsServerOptions,
  runBsPeer,
  startBsServer,
} from "./bs-peer.js";
export { cacheFolder } from "./cache.js";
export { HarnessError, type HarnessErrorCode } from "./errors.js";
export { type EtcdOptions, EtcdServer, startEtcd } from "./etcd.js";
export { EtcdCluster, type EtcdClusterOptions, startEtcdCluster } from "./etcd-cluster.js";
export {
  buildGazette,
  GazetteCluster,
  type GazetteOptions,
  s3Environment,
  s3Store,
  startGazette,
} from "./gazette.js";
export { GazetteBroker, type GazetteEtcd, type GazetteTls } from "./gazette-broker.js";
export type { GazetteCodec, GazetteJournal, GazetteListing } from "./gazette-journals.js";
export {
  askGazettePeer,
  type GazettePeerFigures,
  type GazettePeerOptions,
  makeCertificates,
  runGazettePeer,
} from "./gazette-peer.js";
export {
  type GazetteCapability,
  type GazetteLabel,
  type GazetteTokenOptions,
  gazetteCapabilities,
  gazetteToken,
} from "./gazette-token.js";
export {
  buildGoServer,
  buildGoServers,
  type GoBuildOptions,
  type GoServer,
  goBuildTimeoutMs,
} from "./go-build.js";
export {
  bsPeerBuild,
  etcdBuild,
  gazctlBuild,
  gazetteBuild,
  gazettePeerBuild,
  goServers,
  natsBuild,
  toxiproxyBuild,
  versitygwBuild,
} from "./go-servers.js";
export { type NatsOptions, NatsServer, startNats } from "./nats.js";
export { NodeProcess, type ProcessOptions, startProcess } from "./node-process.js";
export { installNode, type NodeInstallOptions, pinnedNodeVersion } from "./npm-node.js";
export { type PortPicker, pickPorts } from "./ports.js";
export { type RedisOptions, RedisServer, startRedis } from "./redis.js";
export { type RequireOptions, requireServer, type ServerName } from "./require.js";
export { type RunOptions, type RunResult, runProgram } from "./run-program.js";
export { presign, type S3Credentials } from "./s3-sign.js";
export { ServerProcess } from "./server.js";
export type {
  ControlSignal,
  Launch,
  Launched,
  ProgramCall,
  ServerKind,
  ServerOptions,
  TestScope,
} from "./server-kind.js";
export { type Exit, type Supervised, type SuperviseOptions, supervise } from "./supervise.js";
export {
  type Toxic,
  type ToxicAttributes,
  type ToxicOptions,
  ToxicProxy,
  type ToxicStream,
} from "./toxic-proxy.js";
export { type ProxyOptions, startToxiproxy, type ToxiproxyOptions, ToxiproxyServer } from "./toxiproxy.js";
export { startVersitygw, type VersitygwOptions, VersitygwServer } from "./versitygw.js";
