import {
  FRAME_HEADER_BYTES,
  type FrameChunk,
  keyOfBody,
  readFrame,
  TopicError,
} from "@x/topic-gateway/protocol";

/**
 * The newest sequence of each key of a segment, made when somebody asks and only as far as nobody asked before, so that
 * publishing pays nothing for it. With too many keys it forgets them all and starts again behind: older ones are searched.
 */
export class KeyIndex {
  readonly #maxKeys: number;
  readonly #sequences: Map<string, number> = new Map();
  #from = 1;
  #through = 0;

  constructor(maxKeys: number) {
    this.#maxKeys = maxKeys;
  }

  /** Sequences below this one are not covered. */
  get from(): number {
    return this.#from;
  }

  /** Everything from `from` to here is covered. */
  get through(): number {
    return this.#through;
  }

  /** Starts behind what is not wanted in the index, or was lost. */
  startAt(sequence: number): void {
    this.#sequences.clear();
    this.#from = sequence;
    this.#through = sequence - 1;
  }

  /** Takes the chunk that holds the sequence after `through`. */
  add(chunk: FrameChunk): void {
    for (const { sequence, key } of keysInFrames(chunk)) {
      if (sequence <= this.#through) continue;
      if (this.#sequences.size >= this.#maxKeys && !this.#sequences.has(key)) this.startAt(sequence);
      this.#sequences.set(key, sequence);
      this.#through = sequence;
    }
  }

  find(key: string): number | undefined {
    return this.#sequences.get(key);
  }
}

/** The messages of a chunk, in order, with their frames as views. @throws TopicError "corrupt" */
export function* keysInFrames(chunk: FrameChunk): Generator<{
  readonly sequence: number;
  readonly key: string;
  readonly frame: Buffer;
  readonly time: bigint;
}> {
  let at = 0;
  while (at < chunk.frames.length) {
    const frame = readFrame(chunk.frames, at);
    if (typeof frame === "string")
      throw new TopicError("corrupt", `frames as read are ${frame} at byte ${at}`);
    if (frame.kind === "message") {
      const bytes = chunk.frames.subarray(frame.next - FRAME_HEADER_BYTES - frame.body.length, frame.next);
      yield { sequence: frame.sequence, key: keyOfBody(frame.body), frame: bytes, time: frame.time };
    }
    at = frame.next;
  }
}
