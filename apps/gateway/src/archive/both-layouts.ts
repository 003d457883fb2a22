import { type SegmentArchive, TopicError } from "@x/topic-gateway/protocol";

/**
 * Segments that were archived as files before there were blobs stay where they are and are read from there; what is archived from now on becomes
 * blobs.
 */
export function bothLayouts(blobs: SegmentArchive, files: SegmentArchive): SegmentArchive {
  return {
    put: (name, chunks, options) => blobs.put(name, chunks, options),
    async *read(name, options) {
      let isMissing = false;
      try {
        yield* blobs.read(name, options);
      } catch (error) {
        if (!(error instanceof TopicError && error.code === "log-missing")) throw error;
        isMissing = true;
      }
      // A segment that is dropped in the middle is in neither.
      if (isMissing) yield* files.read(name, options);
    },
    async drop(name) {
      await blobs.drop(name);
      await files.drop(name);
    },
  };
}
