/** Topics of keyed, ordered messages: the client, the service of topics, and the gateway's gRPC server. */
export * from "./client.js";
export { type GatewayServer, type GatewayServerOptions, openGatewayServer } from "./grpc/gateway-server.js";
