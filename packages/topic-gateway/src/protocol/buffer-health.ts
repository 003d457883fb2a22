/**
 * Who knows how the buffers are, as a port: implemented by a registry of `@x/viewreg` (see `openBufferRegistry` in the package's root),
 * and by tests.
 */
export interface BufferHealth {
  /**
   * Why it is no use to ask the buffer at this address anything now, as in "silent for 1.2 s"; undefined when it may be asked, as it
   * may when nothing is known of it. Only who does not answer at all is named here: a range has one owner, so a buffer that says that
   * it is not well is still the one to ask. Cheap: called for each request.
   */
  unwell(address: string): string | undefined;
  /** How a question went: "failed" when the buffer could not be reached or did not do its part, "ok" for any answer of its own. */
  report?(address: string, outcome: "ok" | "failed"): void;
}
