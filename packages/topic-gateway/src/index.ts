/** Topics of keyed, ordered messages: the client, the service of topics, the registry of buffers, and the gateway's gRPC server. */
export * from "./client.js";
export {
  type BufferRegistry,
  type BufferRegistryOptions,
  openBufferRegistry,
} from "./grpc/buffer-registry.js";
export { type GatewayServer, type GatewayServerOptions, openGatewayServer } from "./grpc/gateway-server.js";
export type { GatewayServerLimits } from "./grpc/server-load.js";
