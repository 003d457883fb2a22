/** Names as they come over the port become paths here and nowhere else, so that no name reaches outside of its folder. */
import { NONCE_BYTES, TopicError } from "@x/topic-gateway/protocol";

const LOG_NAME = /^([0-9a-f]{16,64})\/([A-Za-z0-9_]{1,128})\.(\d{1,20})\.(\d{1,20})\.([0-9a-f]{16})$/;
const ARCHIVE_NAME = /^([A-Za-z0-9_]{1,128})\/(\d{1,20})\/(\d{1,19}_\d{1,5}-\d{1,5})$/;

export interface LogPaths {
  readonly name: string;
  readonly storeId: string;
  readonly nonce: Buffer;
  readonly directory: string;
  readonly log: string;
  /** Exists from the moment on in which the log is sealed. */
  readonly marker: string;
}

/** Holds a folder for each topic. */
export function logsDirectory(root: string): string {
  return `${root}/logs`;
}

/** @throws TopicError "invalid-argument" */
export function logPaths(root: string, name: string): LogPaths {
  const match = typeof name === "string" ? LOG_NAME.exec(name) : null;
  if (!match) {
    throw new TopicError(
      "invalid-argument",
      `${shown(name)} is not the name of a log: "{store id}/{topic}.{incarnation}.{epoch}.{nonce of ${NONCE_BYTES} bytes in hex}" is`,
    );
  }
  const [, storeId, topic, incarnation, epoch, nonce] = match as unknown as [string, ...string[]];
  const directory = `${logsDirectory(root)}/${topic}`;
  const log = `${directory}/${incarnation}.${epoch}.${nonce}.log`;
  return {
    name,
    storeId: storeId as string,
    nonce: Buffer.from(nonce as string, "hex"),
    directory,
    log,
    marker: `${log}.seal`,
  };
}

export interface ArchivePaths {
  readonly directory: string;
  /** Those above it that the archive made. */
  readonly parents: readonly string[];
  readonly file: string;
  /** Where all unfinished files of all segments are. */
  readonly temporaryDirectory: string;
  /** What the names of this segment's unfinished files start with. */
  readonly temporaryPrefix: string;
}

/** @throws TopicError "invalid-argument" */
export function archivePaths(root: string, name: string): ArchivePaths {
  const match = typeof name === "string" ? ARCHIVE_NAME.exec(name) : null;
  if (!match) {
    throw new TopicError(
      "invalid-argument",
      `${shown(name)} is not the name of an archived segment: "{topic}/{incarnation}/{time}_{from}-{to}" is`,
    );
  }
  const [, topic, incarnation, segment] = match;
  const parents = [root, `${root}/segments`, `${root}/segments/${topic}`];
  const directory = `${root}/segments/${topic}/${incarnation}`;
  return {
    directory,
    parents,
    file: `${directory}/${segment}.seg`,
    temporaryDirectory: `${root}/unfinished`,
    temporaryPrefix: `${topic}.${incarnation}.${segment}.`,
  };
}

function shown(name: unknown): string {
  return String(typeof name === "string" ? JSON.stringify(name) : name).slice(0, 80);
}
