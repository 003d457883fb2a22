/** The flags of the archive, checked. */
import { resolve } from "node:path";
import { InvalidArgumentError, Option } from "commander";
import { count } from "../config-values.js";

export type ArchiveConfig =
  /** Files in `archive` of the data directory: what this program did before it had blobs. */
  | { readonly kind: "local" }
  | {
      readonly kind: "blob";
      /** Each has all blobs. At least one. */
      readonly directories: readonly string[];
      /** Gets all blobs in the background. */
      readonly s3?: S3Config;
      /** How often garbage is looked for, while there may be any. */
      readonly collectMs: number;
    };

export interface S3Config {
  readonly bucket: string;
  /** Ends with a slash, or is empty. */
  readonly prefix: string;
  /** Undefined: Amazon's. */
  readonly endpoint: string | undefined;
  readonly region: string;
}

export interface ArchiveFlags {
  readonly archive: "blob" | "local";
  readonly archiveDir?: readonly string[];
  readonly archiveS3?: { readonly bucket: string; readonly prefix: string };
  readonly archiveS3Endpoint?: string;
  readonly archiveS3Region?: string;
  readonly archiveCollectMs: number;
}

export function archiveOptions(): Option[] {
  return [
    new Option(
      "--archive <kind>",
      "where sealed segments go: blobs in one or more stores, or files in the data folder",
    )
      .env("X_GATEWAY_ARCHIVE")
      .choices(["blob", "local"])
      .default("blob"),
    new Option(
      "--archive-dir <dir>",
      "a folder for blobs, each has all of them; repeated, or several separated by commas (default: archive/1 and archive/2 in the data folder)",
    )
      .env("X_GATEWAY_ARCHIVE_DIR")
      .argParser(directories),
    new Option("--archive-s3 <s3://bucket/prefix>", "a bucket that gets all blobs in the background")
      .env("X_GATEWAY_ARCHIVE_S3")
      .argParser(s3Place),
    new Option("--archive-s3-endpoint <url>", "of an S3 server that is not Amazon's")
      .env("X_GATEWAY_ARCHIVE_S3_ENDPOINT")
      .argParser(endpointUrl),
    new Option(
      "--archive-s3-region <region>",
      "of the bucket (default: AWS_REGION, else us-east-1); credentials come from the usual AWS_ variables",
    ).env("X_GATEWAY_ARCHIVE_S3_REGION"),
    new Option("--archive-collect-ms <ms>", "how often blobs that nothing refers to are looked for")
      .env("X_GATEWAY_ARCHIVE_COLLECT_MS")
      .argParser(count(100, 2 ** 31 - 1))
      .default(3_600_000),
  ];
}

/** @throws InvalidArgumentError for what is wrong only together */
export function toArchiveConfig(flags: ArchiveFlags, dataDirectory: string): ArchiveConfig {
  const { archive, archiveDir, archiveS3, archiveS3Endpoint, archiveS3Region, archiveCollectMs } = flags;
  const ofS3 = archiveS3Endpoint !== undefined || archiveS3Region !== undefined;
  if (archive === "local") {
    if (archiveDir || archiveS3 || ofS3) {
      throw new InvalidArgumentError(
        "--archive local keeps segments as files in the data folder: --archive-dir and --archive-s3 are for --archive blob",
      );
    }
    return { kind: "local" };
  }
  if (!archiveS3 && ofS3) {
    throw new InvalidArgumentError("--archive-s3-endpoint and --archive-s3-region need --archive-s3");
  }
  const folders = (archiveDir ?? ["1", "2"].map((name) => resolve(dataDirectory, "archive", name))).map(
    (folder) => resolve(folder),
  );
  const twice = folders.find((folder, i) => folders.indexOf(folder) !== i);
  if (twice !== undefined) {
    throw new InvalidArgumentError(`--archive-dir has ${twice} twice: each copy needs a folder of its own`);
  }
  return {
    kind: "blob",
    directories: folders,
    collectMs: archiveCollectMs,
    ...(archiveS3 && {
      s3: {
        ...archiveS3,
        endpoint: archiveS3Endpoint,
        region: archiveS3Region ?? process.env.AWS_REGION ?? "us-east-1",
      },
    }),
  };
}

function directories(text: string, before: readonly string[] | undefined): string[] {
  const folders = text.split(",").map((folder) => folder.trim());
  if (folders.includes("")) throw new InvalidArgumentError(`${JSON.stringify(text)} names no folder`);
  return [...(before ?? []), ...folders];
}

function s3Place(text: string): { bucket: string; prefix: string } {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/s.exec(text);
  if (!match) {
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not a place such as s3://bucket/prefix`);
  }
  const prefix = (match[2] ?? "").replace(/\/+$/, "");
  return { bucket: match[1] as string, prefix: prefix === "" ? "" : `${prefix}/` };
}

function endpointUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new InvalidArgumentError(
    `${JSON.stringify(text)} is not the URL of an S3 server such as http://127.0.0.1:9000`,
  );
}
