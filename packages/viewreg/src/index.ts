/** Endpoints as text. The registry of servers comes with its own release. */
export { type Endpoint, EndpointError, formatEndpoint, parseEndpoint } from "./endpoint.js";
