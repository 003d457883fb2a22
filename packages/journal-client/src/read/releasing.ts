/** Chunks whose iteration calls `release` before it is left, even when it was never begun: a generator alone would not notice. */
export function releasing(
  chunks: AsyncGenerator<Uint8Array, void, void>,
  release: () => void | Promise<void>,
): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => chunks.next(),
      return: async () => {
        await release();
        return chunks.return();
      },
    }),
  };
}
