import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

export interface Asked {
  readonly url: URL;
  readonly token: string | undefined;
  readonly response: ServerResponse;
  /** One line of a watch, or a part of one. */
  send(event: unknown): void;
  write(bytes: Uint8Array | string): void;
}

/** The part of the Kubernetes API server that is used here, on loopback; each request is answered by `onList` or `onWatch`. */
export class KubernetesServer implements AsyncDisposable {
  readonly lists: Asked[] = [];
  readonly watches: Asked[] = [];
  onList: (asked: Asked) => void = ({ response }) => response.writeHead(500).end();
  onWatch: (asked: Asked) => void = () => undefined;
  readonly #server: Server = createServer((request, response) => this.#handle(request, response));

  static async start(): Promise<KubernetesServer> {
    const server = new KubernetesServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", "http://any");
    const write = (bytes: Uint8Array | string): void => void response.write(bytes);
    const asked: Asked = {
      url,
      token: request.headers.authorization,
      response,
      write,
      send: (event) => write(`${JSON.stringify(event)}\n`),
    };
    if (url.searchParams.get("watch") !== "1") {
      this.lists.push(asked);
      this.onList(asked);
      return;
    }
    this.watches.push(asked);
    this.onWatch(asked);
    if (!response.headersSent) {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
    }
  }
}

/**
 * An EndpointSlice (discovery.k8s.io/v1) as the recorded ones are in `test/fixtures/kubernetes`, for tests that need another one.
 */
export function slice(
  name: string,
  version: number,
  endpoints: readonly unknown[],
  more: object = {},
): object {
  return {
    kind: "EndpointSlice",
    apiVersion: "discovery.k8s.io/v1",
    metadata: {
      name,
      namespace: "shop",
      uid: `6c3b2a30-0000-4000-8000-${String(version).padStart(12, "0")}`,
      resourceVersion: String(version),
      generation: 1,
      labels: {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": "kv",
      },
      ownerReferences: [
        { apiVersion: "v1", kind: "Service", name: "kv", controller: true, blockOwnerDeletion: true },
      ],
    },
    addressType: "IPv4",
    endpoints,
    ports: [{ name: "grpc", protocol: "TCP", port: 9000 }],
    ...more,
  };
}

export function pod(address: string, more: object = {}): object {
  return {
    addresses: [address],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: "node-1",
    zone: "eu-1a",
    targetRef: { kind: "Pod", namespace: "shop", name: `kv-${address}`, uid: "1" },
    ...more,
  };
}

export function sliceList(version: number, items: readonly unknown[], more: object = {}): string {
  return JSON.stringify({
    kind: "EndpointSliceList",
    apiVersion: "discovery.k8s.io/v1",
    metadata: { resourceVersion: String(version), ...more },
    items,
  });
}

export function status(code: number, reason: string, message: string): object {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code };
}
