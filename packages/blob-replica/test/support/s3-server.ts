import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { S3Client } from "@aws-sdk/client-s3";
import type { BlobStore } from "../../src/index.js";
import { type S3StoreOptions, s3Store } from "../../src/s3.js";

export interface S3Call {
  readonly method: string;
  /** Behind the bucket. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

export interface FakeS3 extends AsyncDisposable {
  readonly client: S3Client;
  readonly calls: S3Call[];
  /** The next ones are answered by this one, until it returns false: then as a bucket does. */
  answer: (call: S3Call) => boolean | Promise<boolean>;
  readonly objects: Map<string, Buffer>;
}

/** As much of S3 as the store speaks, in memory, over HTTP: for answers that no real server gives when it is asked to. */
export async function fakeS3(bucket: string): Promise<FakeS3> {
  const objects = new Map<string, Buffer>();
  const calls: S3Call[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer); // bytes, without an encoding
    const url = new URL(request.url ?? "", "http://127.0.0.1");
    const [, name, ...key] = decodeURIComponent(url.pathname).split("/");
    const call = {
      method: request.method ?? "",
      key: key.join("/"),
      query: url.searchParams,
      headers: request.headers,
      body: Buffer.concat(chunks),
      request,
      response,
    };
    calls.push(call);
    if (await fake.answer(call)) return;
    if (name !== bucket) fails(call, 404, "NoSuchBucket");
    else asBucket(call, objects);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // it listens
    region: "us-east-1",
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId: "key", secretAccessKey: "secret" },
  });
  const fake: FakeS3 = {
    client,
    calls,
    objects,
    answer: () => false,
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

/** A store over such a server, of the bucket "blobs". */
export async function withS3(
  work: (store: BlobStore, s3: FakeS3) => Promise<void>,
  options: Partial<S3StoreOptions> = {},
): Promise<void> {
  await using s3 = await fakeS3("blobs");
  await work(s3Store({ client: s3.client, bucket: "blobs", ...options }), s3);
}

export function fails({ method, response }: S3Call, status: number, code: string): true {
  response.writeHead(status, { "content-type": "application/xml" });
  response.end(method === "HEAD" ? undefined : `<Error><Code>${code}</Code><Message>no</Message></Error>`);
  return true;
}

export function lists(
  { response }: S3Call,
  keys: readonly string[],
  { next, truncated = next !== undefined }: { readonly next?: string; readonly truncated?: boolean } = {},
): true {
  const contents = keys.map((key) => `<Contents><Key>${key}</Key></Contents>`).join("");
  const token = next === undefined ? "" : `<NextContinuationToken>${next}</NextContinuationToken>`;
  response.writeHead(200, { "content-type": "application/xml" });
  response.end(
    `<ListBucketResult>${contents}<IsTruncated>${truncated}</IsTruncated>${token}</ListBucketResult>`,
  );
  return true;
}

function asBucket(call: S3Call, objects: Map<string, Buffer>): void {
  const { method, key, query, headers, body, response } = call;
  const object = objects.get(key);
  if (method === "PUT") {
    const sha256 = createHash("sha256").update(body);
    if (headers["if-none-match"] === "*" && object) fails(call, 412, "PreconditionFailed");
    else if (sha256.digest("base64") !== headers["x-amz-checksum-sha256"]) fails(call, 400, "BadDigest");
    else {
      objects.set(key, body);
      response.end();
    }
  } else if (method === "DELETE") {
    objects.delete(key);
    response.writeHead(204).end();
  } else if (key === "") {
    const after = query.get("continuation-token") ?? query.get("start-after") ?? "";
    const all = [...objects.keys()].filter((each) => each > after).sort();
    lists(call, all.slice(0, 10), all.length > 10 ? { next: all[9] as string } : {});
  } else if (object === undefined) {
    fails(call, 404, "NoSuchKey");
  } else {
    response.writeHead(200, { "content-length": object.length });
    response.end(method === "HEAD" ? undefined : object);
  }
}
