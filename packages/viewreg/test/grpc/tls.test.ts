import {
  type CallCredentials,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { type HealthCheckResponse, HealthService } from "../../src/gen/grpc/health/v1/health.js";
import { type GrpcConnectorOptions, grpcConnector, grpcHealth } from "../../src/grpc/index.js";
import { becomes, Health, insecure, listen, onEnd } from "./servers.js";
import { localCertificate, otherCertificate } from "./test-certificates.js";

const serverCredentials = ({ cert, key }: typeof localCertificate): ServerCredentials =>
  ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }]);
const trusting = ({ cert }: typeof localCertificate) => credentials.createSsl(Buffer.from(cert));

async function connect(options: GrpcConnectorOptions, server: Server, certificate = localCertificate) {
  const port = await listen(server, { credentials: serverCredentials(certificate) });
  const endpoint = { host: "localhost", port };
  const connection = grpcConnector(options).connect(endpoint);
  onEnd(() => connection.close());
  const probe = () =>
    grpcHealth().probe(connection.channel, {
      endpoint,
      signal: new AbortController().signal,
      timeoutMs: 500,
    });
  return { connection, probe };
}

/** A server that answers only who brings the token. */
function guarded(seen: string[]): Server {
  const server = new Server();
  server.addService(HealthService, {
    check: (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<HealthCheckResponse>) => {
      seen.push(...call.metadata.get("authorization").map(String));
      callback(null, { status: 1 });
    },
    watch: () => {},
  });
  return server;
}

function bearer(tokens: Iterator<string>): CallCredentials {
  return credentials.createFromMetadataGenerator((_options, callback) => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${tokens.next().value}`);
    callback(null, metadata);
  });
}

describe("a connection over TLS", { timeout: 60_000 }, () => {
  it("is ready with a server whose certificate is trusted", async () => {
    const { connection, probe } = await connect(
      { credentials: trusting(localCertificate) },
      new Health().addTo(new Server()),
    );
    await becomes(connection, "ready");
    await expect(probe()).resolves.toEqual({ features: [] });
  });

  it("fails with a server whose certificate nobody vouches for", async () => {
    const { connection } = await connect({ credentials: credentials.createSsl() }, new Server());
    await becomes(connection, "failed");
  });

  it("fails with a server whose certificate is for another name, unless that name is expected", async () => {
    const other = trusting(otherCertificate);
    const { connection } = await connect({ credentials: other }, new Server(), otherCertificate);
    await becomes(connection, "failed");
    const channelOptions = { "grpc.ssl_target_name_override": "elsewhere.example" };
    const { connection: named } = await connect(
      { credentials: other, channelOptions },
      new Server(),
      otherCertificate,
    );
    await becomes(named, "ready");
  });

  it("fails when plain text is spoken to it", async () => {
    const { connection } = await connect({ credentials: insecure }, new Server());
    await becomes(connection, "failed");
  });
});

describe("credentials of calls", { timeout: 60_000 }, () => {
  it("are asked for at each call, and seen by the server", async () => {
    const seen: string[] = [];
    const callCredentials = bearer(["first", "second"].values());
    const { connection, probe } = await connect(
      { credentials: trusting(localCertificate), callCredentials },
      guarded(seen),
    );
    await becomes(connection, "ready");
    await probe();
    await probe();
    expect(seen).toEqual(["Bearer first", "Bearer second"]);
  });

  it("are not sent in plain text", () => {
    expect(() => grpcConnector({ credentials: insecure, callCredentials: bearer([].values()) })).toThrow(
      expect.objectContaining({ code: "invalid-argument", message: expect.stringContaining("TLS") }),
    );
  });
});
