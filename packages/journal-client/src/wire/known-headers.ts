/**
 * Headers of answers that were decoded and checked before. A broker says the same of a journal in answer after answer, until something changes
 * in its cluster, and the header is most of what there is to decode and to check in the answer to an append.
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import * as wire from "../gen/protocol/protocol.js";
import type { Header } from "../protocol/header.js";

/** Field 2 of an answer, length-delimited; before it there is only a status that is not OK. */
const HEADER_TAG = (2 << 3) | 2;
/** What a header of some members takes. Longer ones are decoded each time. */
const MAX_BYTES = 4096;
/** As many journals as a process appends to at a time, mostly. */
const MAX_HEADERS = 256;

export interface LeadingHeader {
  /** Its bytes, each a character. */
  readonly text: string;
  /** Where the rest of the message begins. */
  readonly end: number;
}

/** The header that a message begins with; undefined when it does not, or that of a message that is cut off. */
export function leadingHeader(message: Uint8Array): LeadingHeader | undefined {
  if (message[0] !== HEADER_TAG) return undefined;
  const low = message[1] ?? 0;
  const high = message[2] ?? 0;
  const start = low < 0x80 ? 2 : 3;
  const length = low < 0x80 ? low : (low & 0x7f) | (high << 7);
  const end = start + length;
  if ((low >= 0x80 && high >= 0x80) || length > MAX_BYTES || end > message.length) return undefined;
  return {
    text: Buffer.from(message.buffer, message.byteOffset + start, length).toString("latin1"),
    end,
  };
}

/** @throws Error when it is not well-formed, to its end: the generated decoder stops at a tag of 0, which no writer makes */
export function decodeHeader(text: string): wire.Header {
  const reader = new BinaryReader(Buffer.from(text, "latin1"));
  const header = wire.Header.decode(reader, reader.len);
  if (reader.pos !== reader.len) throw new Error("a field has the number 0");
  return header;
}

/** Headers by their bytes. */
export class KnownHeaders {
  readonly #headers = new Map<string, Header>();

  get(text: string): Header | undefined {
    return this.#headers.get(text);
  }

  /** Freezes it, since all answers to come have the same. */
  add(text: string, header: Header): void {
    if (this.#headers.size >= MAX_HEADERS) this.#headers.clear();
    this.#headers.set(text, frozen(header));
  }
}

function frozen(header: Header): Header {
  const { processId, route, etcd } = header;
  for (const member of route.members) Object.freeze(member);
  for (const part of [route.members, route.endpoints, route, processId, etcd]) Object.freeze(part);
  return Object.freeze(header);
}
