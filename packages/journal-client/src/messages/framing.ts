import { isJournalError, JournalError } from "../errors.js";
import type { BufferedReader } from "../read/buffered-reader.js";

/** How messages are put into a journal's bytes, and found there again. */
export interface Framing<M> {
  /** The journals whose label `content-type` has this value. */
  readonly contentType: string;
  /** A message with all that is around it. */
  encode(message: M): Uint8Array;
  /**
   * The next message, or undefined when the bytes end before one begins. Takes exactly its bytes from the reader; after "bad-message", the bad bytes.
   * @throws JournalError "bad-message", "unexpected-eof", and what the reader throws
   */
  decode(reader: BufferedReader): Promise<M | undefined>;
}

export interface FrameLimits {
  /** The longest message that is read, so that damage cannot ask for all the memory. Default 64 MiB. */
  readonly maxBytes?: number;
}

const defaultMaxBytes = 64 * 1024 * 1024;

/** One JSON text per line, of type `application/x-ndjson`. */
export function jsonLines<M>({ maxBytes = defaultMaxBytes }: FrameLimits = {}): Framing<M> {
  return {
    contentType: "application/x-ndjson",
    encode(message) {
      const text: string | undefined = JSON.stringify(message);
      if (text === undefined) {
        throw new JournalError("invalid-argument", "the message has no JSON form");
      }
      return Buffer.from(`${text}\n`);
    },
    async decode(reader) {
      const line = await reader.readLine({ maxBytes }).catch(async (error: unknown) => {
        if (isJournalError(error, "bad-message")) await skipLine(reader); // it is too long
        throw error;
      });
      if (line === undefined) return undefined;
      try {
        // The framing cannot check more than that it is JSON: its user chose the type.
        return JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.length).toString()) as M;
      } catch (cause) {
        throw new JournalError("bad-message", `a line of ${line.length} bytes is not JSON`, { cause });
      }
    },
  };
}

/** Takes the rest of a line, piece by piece. */
async function skipLine(reader: BufferedReader): Promise<void> {
  for (;;) {
    const piece = await reader.peek(Math.max(1, Math.min(reader.buffered, 65_536)));
    const newline = piece.indexOf(0x0a);
    reader.discard(newline === -1 ? piece.length : newline + 1);
    if (newline !== -1 || piece.length === 0) return;
  }
}

/** The two functions of a kind of protobuf message: ts-proto's `encode(message).finish()` and `decode`, or any other's. */
export interface ProtobufCodec<M> {
  encode(message: M): Uint8Array;
  decode(bytes: Uint8Array): M;
}

/** "f3\x93\x36": stands before each fixed frame, so that lost synchronisation is seen. */
const magic = [0x66, 0x33, 0x93, 0x36] as const;
const headerBytes = 8;
const maxSkipped = 1024 * 1024;

/** Protobuf messages behind four fixed bytes and their length (32 bits, little endian), of type `application/x-protobuf-fixed`. */
export function fixedProtobuf<M>(
  codec: ProtobufCodec<M>,
  { maxBytes = defaultMaxBytes }: FrameLimits = {},
): Framing<M> {
  return {
    contentType: "application/x-protobuf-fixed",
    encode(message) {
      const body = codec.encode(message);
      const frame = new Uint8Array(headerBytes + body.length);
      frame.set(magic);
      new DataView(frame.buffer).setUint32(4, body.length, true);
      frame.set(body, headerBytes);
      return frame;
    },
    async decode(reader) {
      const header = await reader.peek(headerBytes);
      if (header.length === 0) return undefined;
      if (!startsWithMagic(header, 0)) return skipToMagic(reader);
      if (header.length < headerBytes) {
        throw new JournalError("unexpected-eof", `the bytes end in the middle of a frame's header`);
      }
      const length = new DataView(header.buffer, header.byteOffset).getUint32(4, true);
      if (length > maxBytes) {
        reader.discard(magic.length);
        throw new JournalError(
          "bad-message",
          `a frame says that it has ${length} bytes: more than the ${maxBytes} that are allowed`,
        );
      }
      const frame = await reader.readExactly(headerBytes + length, { maxBytes: headerBytes + maxBytes });
      if (frame === undefined) return undefined; // there is a header, so it cannot be the end
      try {
        return codec.decode(frame.subarray(headerBytes));
      } catch (cause) {
        throw new JournalError("bad-message", `a frame of ${length} bytes does not decode`, { cause });
      }
    },
  };
}

/** Takes what is before the next frame in what is buffered (of much, in a part of it), and tells about it. */
async function skipToMagic(reader: BufferedReader): Promise<never> {
  const bytes = await reader.peek(Math.max(1, Math.min(reader.buffered, maxSkipped)));
  let skip = 1;
  while (skip < bytes.length && !startsWithMagic(bytes, skip)) skip += 1;
  reader.discard(skip);
  throw new JournalError("bad-message", `${skip} bytes are not the beginning of a frame`);
}

/** Whether the fixed bytes, or as many of them as fit, are at `from`. */
function startsWithMagic(bytes: Uint8Array, from: number): boolean {
  for (let index = 0; index < magic.length && from + index < bytes.length; index += 1) {
    if (bytes[from + index] !== magic[index]) return false;
  }
  return true;
}

/** @throws JournalError "invalid-argument" */
export function framingOf<M>(
  framings: readonly Framing<M>[],
  contentType: string,
  journal: string,
): Framing<M> {
  const framing = framings.find((each) => each.contentType === contentType);
  if (framing === undefined) {
    const given = framings.map((each) => each.contentType).join(", ") || "none";
    throw new JournalError(
      "invalid-argument",
      `journal ${journal} has the content type ${JSON.stringify(contentType)}, and the framings given are for: ${given}`,
      { journal },
    );
  }
  return framing;
}
