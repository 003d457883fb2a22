/** Fragments and the names of their files (fragment_extensions.go of Gazette). */
import type { Fragment } from "./fragment.js";
import { checkJournalNameAt, MAX_JOURNAL_NAME_BYTES } from "./journal-name.js";
import type { CompressionCodec } from "./journal-spec.js";
import {
  argument,
  checkInt64,
  checkObject,
  checkString,
  MAX_INT64,
  type Place,
  refuse,
  within,
} from "./refusal.js";
import { checkPathComponent } from "./text-rules.js";

/** Of files that are written; the last is told by the store's Content-Encoding instead of a name. */
const EXTENSIONS: Readonly<Record<CompressionCodec, string>> = {
  NONE: ".raw",
  GZIP: ".gz",
  ZSTANDARD: ".zst",
  SNAPPY: ".sz",
  GZIP_OFFLOAD_DECOMPRESSION: "",
};

/** Of files that are read: a few more. */
const CODECS: ReadonlyMap<string, CompressionCodec> = new Map([
  [".raw", "NONE"],
  [".gz", "GZIP"],
  [".gzip", "GZIP"],
  [".zst", "ZSTANDARD"],
  [".zstandard", "ZSTANDARD"],
  [".sz", "SNAPPY"],
  [".snappy", "SNAPPY"],
  ["", "GZIP_OFFLOAD_DECOMPRESSION"],
  [".gzod", "GZIP_OFFLOAD_DECOMPRESSION"],
]);

const SUM_BYTES = 20;

export function checkCodecAt(place: Place, codec: unknown): void {
  if (typeof codec !== "string" || !Object.hasOwn(EXTENSIONS, codec)) {
    refuse(place, codec, `it must be one of ${Object.keys(EXTENSIONS).join(", ")}`);
  }
}

export function checkFragmentAt(place: Place, fragment: Fragment): void {
  checkObject(place, fragment);
  checkJournalNameAt(within(place, "journal"), fragment.journal);
  checkInt64(within(place, "begin"), fragment.begin, 0n);
  checkInt64(within(place, "end"), fragment.end, fragment.begin);
  if (!(fragment.sum instanceof Uint8Array) || fragment.sum.length !== SUM_BYTES) {
    refuse(within(place, "sum"), fragment.sum, `it must be the ${SUM_BYTES} bytes of a SHA-1`);
  }
  checkCodecAt(within(place, "compressionCodec"), fragment.compressionCodec);
  checkString(within(place, "backingStore"), fragment.backingStore);
  checkInt64(within(place, "modTime"), fragment.modTime, -MAX_INT64 - 1n);
  checkPathComponent(within(place, "pathPostfix"), fragment.pathPostfix, 0, MAX_JOURNAL_NAME_BYTES);
}

/**
 * The name of a fragment's file: begin and end (16 hexadecimal digits each), the SHA-1 of the content, and the codec's extension (`.raw`,
 * `.gz`, `.zst`, `.sz`, or none for GZIP_OFFLOAD_DECOMPRESSION).
 */
export function fragmentName(fragment: Pick<Fragment, "begin" | "end" | "sum" | "compressionCodec">): string {
  const { begin, end, sum, compressionCodec } = fragment;
  const hex = Buffer.from(sum.buffer, sum.byteOffset, sum.byteLength).toString("hex");
  return `${hex16(begin)}-${hex16(end)}-${hex}${EXTENSIONS[compressionCodec]}`;
}

/** Where a fragment's file is, below the root of its store: the journal, the path postfix if there is one, and the name. */
export function fragmentPath(fragment: Fragment): string {
  const folder =
    fragment.pathPostfix === "" ? fragment.journal : `${fragment.journal}/${fragment.pathPostfix}`;
  return `${folder}/${fragmentName(fragment)}`;
}

/**
 * The fragment that a file of a store holds. `path` is what comes behind the journal's own folder: a path postfix, if any, and the name.
 * Its store and its time of modification are not in the name: they are "" and 0n.
 * @throws JournalError "invalid-argument" when it is not named as a fragment
 */
export function parseFragmentPath(journal: string, path: string): Fragment {
  const place = argument("path");
  checkString(place, path);
  const slash = path.lastIndexOf("/");
  const name = path.slice(slash + 1);
  const dot = name.lastIndexOf(".");
  const extension = dot < 0 ? "" : name.slice(dot);
  const parts = /^([0-9a-fA-F]+)-([0-9a-fA-F]+)-([0-9a-fA-F]{40})$/.exec(dot < 0 ? name : name.slice(0, dot));
  if (parts === null || slash === 0) {
    refuse(
      place,
      path,
      "a fragment's file must be named <begin>-<end>-<SHA-1 of 40 digits>, all hexadecimal, and an extension",
    );
  }
  const compressionCodec = CODECS.get(extension.toLowerCase());
  if (compressionCodec === undefined) {
    refuse(
      place,
      path,
      `its extension must be one of ${[...CODECS.keys()].filter(Boolean).join(", ")}, or none`,
    );
  }
  const fragment: Fragment = {
    journal,
    begin: BigInt(`0x${parts[1]}`),
    end: BigInt(`0x${parts[2]}`),
    sum: Uint8Array.from(Buffer.from(parts[3]!, "hex")),
    compressionCodec,
    backingStore: "",
    modTime: 0n,
    pathPostfix: slash < 0 ? "" : path.slice(0, slash),
  };
  checkFragmentAt(argument("fragment"), fragment);
  return fragment;
}

function hex16(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}
