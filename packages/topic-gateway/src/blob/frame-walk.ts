import { frameLinks, NONCE_BYTES, readFrame } from "../protocol/frame.js";

/** Where in a segment somebody is: between which frames. */
export interface FrameWalk {
  /** Of the last frame that was right. */
  sequence: number;
  /** Of the log that all frames must come from; undefined before the first. */
  nonce: Uint8Array | undefined;
}

/** Where the next frame ends, if it is a valid message frame of this log with the next sequence; then the walk goes on behind it. */
export function stepOver(walk: FrameWalk, bytes: Buffer, at: number): number | undefined {
  const frame = readFrame(bytes, at);
  if (typeof frame === "string" || frame.kind !== "message" || frame.sequence !== walk.sequence + 1)
    return undefined;
  const { nonce } = frameLinks(bytes, at);
  if (walk.nonce === undefined) walk.nonce = Buffer.from(nonce);
  else if (!nonce.equals(walk.nonce)) return undefined;
  walk.sequence = frame.sequence;
  return frame.next;
}

/** The nonce of a segment without messages. */
export const noNonce: Uint8Array = new Uint8Array(NONCE_BYTES);
