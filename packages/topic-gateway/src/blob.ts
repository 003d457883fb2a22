/**
 * The archive of sealed segments in any blob store of `@x/blob-replica`: chunks of frames, a manifest that lists them, and a name in the
 * coordination store that points to the manifest.
 */
export { type BlobArchive, type BlobArchiveOptions, openBlobArchive } from "./blob/archive.js";
export type { CollectReport } from "./blob/collector.js";
export { type CoordNamesOptions, coordNames } from "./blob/coord-names.js";
export { memoryNames } from "./blob/memory-names.js";
export type {
  ArchiveEntry,
  ArchiveNames,
  NamedEntry,
  NamesCallOptions,
  PutNameOptions,
} from "./blob/names.js";
