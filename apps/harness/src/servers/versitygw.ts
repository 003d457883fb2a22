import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "./errors.js";
import { buildGoServer } from "./go-build.js";
import { versitygwBuild } from "./go-servers.js";
import { requestText } from "./http.js";
import { presign, type S3Credentials } from "./s3-sign.js";
import { ServerProcess } from "./server.js";
import type { ServerKind, ServerOptions } from "./server-kind.js";

export interface VersitygwOptions extends ServerOptions {
  /** More flags of the server, before its `posix` command. */
  readonly args?: readonly string[];
}

const accessKey = "harness-access";
const secretKey = "harness-secret";
const region = "us-east-1";

/** A real S3 server, versitygw, whose buckets are folders. Path style only; what clients call the region is `us-east-1`. */
export class VersitygwServer extends ServerProcess<"s3"> implements S3Credentials {
  readonly accessKey: string = accessKey;
  readonly secretKey: string = secretKey;
  readonly region: string = region;

  /** `http://127.0.0.1:PORT`, the same after a restart and a wipe. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.ports.s3}`;
  }

  /** Where the objects of a bucket lie, as files: by their keys. */
  bucketFolder(bucket: string): string {
    return join(this.dataDir, "buckets", bucket);
  }

  /** @throws HarnessError "request-failed", also when it exists */
  async createBucket(bucket: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const url = presign(this, { method: "PUT", path: `/${bucket}` });
    const { status, text } = await requestText(url, {
      method: "PUT",
      timeoutMs: 10_000,
      signal: options.signal,
    });
    if (status !== 200) throw new HarnessError("request-failed", `bucket ${bucket}: ${status} ${text}`);
  }
}

/**
 * Builds versitygw if it was not built before, and starts it without buckets.
 * @throws HarnessError "missing-server", "build-failed", "exited", "not-ready"
 */
export async function startVersitygw(options: VersitygwOptions = {}): Promise<VersitygwServer> {
  const program = await buildGoServer(versitygwBuild, { signal: options.signal });
  return new VersitygwServer(versitygwKind(program, options.args ?? []), options).start();
}

function versitygwKind(program: string, args: readonly string[]): ServerKind<"s3"> {
  return {
    name: "versitygw",
    ports: ["s3"],
    command: async ({ ports, dataDir, identity }) => {
      const [buckets, sidecar] = [join(dataDir, "buckets"), join(dataDir, "metadata")];
      await Promise.all([buckets, sidecar].map((folder) => mkdir(folder, { recursive: true })));
      return {
        file: program,
        args: [
          `--access=${accessKey}`,
          `--secret=${secretKey}`,
          `--region=${region}`,
          `--port=127.0.0.1:${ports.s3}`,
          `--health=/${identity}`, // a path that no other server has: whoever answers there is this one
          "--quiet",
          ...args,
          "posix",
          `--sidecar=${sidecar}`, // the default is extended attributes, which not every file system has
          buckets,
        ],
      };
    },
    isReady: async ({ ports, identity }, signal) => {
      const { status } = await requestText(`http://127.0.0.1:${ports.s3}/${identity}`, { signal });
      return status === 200;
    },
  };
}
