import { createHash, createHmac } from "node:crypto";

export interface S3Credentials {
  /** `http://127.0.0.1:PORT`. */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

/**
 * A URL that lets its bearer do one request on `/BUCKET` or `/BUCKET/KEY`, by Amazon's Signature Version 4 in the query
 * (docs.aws.amazon.com, "Authenticating Requests: Using Query Parameters"). The harness makes buckets by it; tests may use it
 * to look at what an S3 client has stored, without trusting that client.
 */
export function presign(
  s3: S3Credentials,
  request: {
    readonly method: "GET" | "PUT" | "HEAD" | "DELETE";
    readonly path: string;
    readonly query?: Readonly<Record<string, string>>;
    /** Default 600. */
    readonly validForSeconds?: number;
  },
): string {
  const { host } = new URL(s3.endpoint);
  const time = new Date().toISOString().replace(/\.\d+Z$|[-:]/g, (part) => (part.endsWith("Z") ? "Z" : ""));
  const scope = `${time.slice(0, 8)}/${s3.region}/s3/aws4_request`;
  const query = Object.entries({
    ...request.query,
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": `${s3.accessKey}/${scope}`,
    "X-Amz-Date": time,
    "X-Amz-Expires": String(request.validForSeconds ?? 600),
    "X-Amz-SignedHeaders": "host",
  })
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
  const path = request.path.split("/").map(encode).join("/");
  const canonical = [request.method, path, query, `host:${host}`, "", "host", "UNSIGNED-PAYLOAD"].join("\n");
  const digest = createHash("sha256").update(canonical).digest("hex");
  const key = scope
    .split("/")
    .reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${s3.secretKey}`);
  const signature = hmac(key, ["AWS4-HMAC-SHA256", time, scope, digest].join("\n")).toString("hex");
  return `${s3.endpoint}${path}?${query}&X-Amz-Signature=${signature}`;
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** As RFC 3986 has it, which is stricter than `encodeURIComponent`. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
