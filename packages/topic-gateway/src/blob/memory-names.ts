import { TopicError } from "../errors.js";
import { type ArchiveEntry, type ArchiveNames, isSameEntry, parseArchiveName } from "./names.js";

/** Names in memory, for tests and for archives that end with their process. A name keeps its last sequence until it is deleted. */
export function memoryNames(): ArchiveNames {
  const entries = new Map<string, ArchiveEntry>();
  let generation = 0n;
  return {
    async get(name, { signal } = {}) {
      signal?.throwIfAborted();
      parseArchiveName(name);
      return entries.get(name);
    },
    async put(name, entry, options) {
      options.signal?.throwIfAborted();
      parseArchiveName(name);
      if (options.generation !== generation) return false;
      const there = entries.get(name);
      if (there && there.lastSequence !== entry.lastSequence) {
        throw new TopicError(
          "log-exists",
          `${name} is archived already with the last sequence ${there.lastSequence}, not ${entry.lastSequence}`,
        );
      }
      if (!there || isSameEntry(there, options.replaces)) entries.set(name, entry);
      return true;
    },
    async delete(name, { signal } = {}) {
      signal?.throwIfAborted();
      parseArchiveName(name);
      entries.delete(name);
    },
    async *list({ signal } = {}) {
      for (const [name, entry] of [...entries]) {
        signal?.throwIfAborted();
        yield { name, ...entry };
      }
    },
    async generation({ signal } = {}) {
      signal?.throwIfAborted();
      return generation;
    },
    async nextGeneration(from, { signal } = {}) {
      signal?.throwIfAborted();
      if (from !== generation) return undefined;
      generation += 1n;
      return generation;
    },
  };
}
