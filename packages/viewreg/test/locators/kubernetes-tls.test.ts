import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { endpointSliceLocator } from "../../src/kubernetes.js";
import { localCertificate, otherCertificate } from "../grpc/test-certificates.js";
import { pod, slice, sliceList } from "./kubernetes-server.js";
import { FakeClock, Reader, until } from "./support.js";

describe("a locator by EndpointSlice over https", { timeout: 60_000 }, () => {
  let server: Server | undefined;
  const tokens: (string | undefined)[] = [];

  afterEach(async () => {
    server?.closeAllConnections();
    await new Promise((resolve) => server?.close(resolve));
  });

  it("trusts the authority it was given, and sends its token to nobody else", async () => {
    server = createServer(localCertificate, (request, response) => {
      tokens.push(request.headers.authorization);
      if (!request.url?.includes("watch=1"))
        response.end(sliceList(1, [slice("kv-1", 1, [pod("10.0.0.1")])]));
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo; // It listens on a port.
    const locator = (ca: string) =>
      endpointSliceLocator({
        namespace: "shop",
        service: "kv",
        server: `https://127.0.0.1:${port}`,
        token: "secret",
        ca: async () => ca,
        clock: new FakeClock(),
      });
    const refused = new Reader(locator(otherCertificate.cert));
    await refused.done();
    expect(refused.error).toMatchObject({ code: "unavailable" });
    expect(tokens).toEqual([]);
    await using reader = new Reader(locator(localCertificate.cert));
    await until(() => reader.last === "10.0.0.1:9000");
    expect(tokens[0]).toBe("Bearer secret");
  });
});
