/** Answers to a Read, which are most of what is received: decoded by hand, their content a view of the received bytes. */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import * as wire from "../gen/protocol/protocol.js";
import { answer, within } from "../protocol/refusal.js";
import { checkReadResponse } from "../protocol/response-rules.js";
import type { ReadResponse } from "../protocol/responses.js";
import { statusFromWire } from "./enums.js";
import { malformed } from "./malformed.js";
import { fragmentFromWire, headerFromWire } from "./values.js";

const PLACE = answer("ReadResponse");
const STATUS = within(PLACE, "status");
const FRAGMENT = within(PLACE, "fragment");
const OFFSET_TAG = 3 << 3;
const CONTENT_TAG = (7 << 3) | 2;
/** A varint of so many bytes is a number that JavaScript holds exactly: 49 bits. */
const EXACT_VARINT_BYTES = 7;

/** A ReadResponse as it is on the wire, whatever it says. `content` is undefined when it is not there, and a view when it is. */
export interface RawReadResponse {
  status: number;
  header: wire.Header | undefined;
  offset: bigint;
  writeHead: bigint;
  fragment: wire.Fragment | undefined;
  fragmentUrl: string;
  content: Uint8Array | undefined;
}

/**
 * Decodes and checks. Content is not copied: it is a part of `message`.
 * @throws JournalError "invalid-response"
 */
export function decodeReadResponse(message: Uint8Array): ReadResponse {
  const chunk = decodeChunk(message);
  if (chunk !== undefined) return chunk;
  const raw = malformed("ReadResponse", () => decodeRawReadResponse(message));
  const { offset, writeHead, fragmentUrl, content } = raw;
  const response: ReadResponse = {
    status: statusFromWire(STATUS, raw.status),
    header: raw.header && headerFromWire(raw.header),
    offset,
    writeHead,
    fragment: raw.fragment && fragmentFromWire(FRAGMENT, raw.fragment),
    fragmentUrl,
    content,
  };
  checkReadResponse(response);
  return response;
}

/** What brokers send nearly always: an offset (unless it is 0) and then content, to the end. Undefined for all else, well-formed or not. */
function decodeChunk(message: Uint8Array): ReadResponse | undefined {
  let at = 0;
  let offset = 0n;
  if (message[0] === OFFSET_TAG) {
    let value = 0;
    let scale = 1;
    let byte = 0;
    do {
      byte = message[++at] ?? 0;
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
    } while (byte >= 0x80 && at < EXACT_VARINT_BYTES);
    if (byte >= 0x80) return undefined;
    offset = BigInt(value);
    at++;
  }
  if (message[at] !== CONTENT_TAG) return undefined;
  let length = 0;
  let scale = 1;
  let byte = 0;
  const first = at;
  do {
    byte = message[++at] ?? 0;
    length += (byte & 0x7f) * scale;
    scale *= 0x80;
  } while (byte >= 0x80 && at - first < 5);
  at++;
  if (byte >= 0x80 || at + length !== message.length) return undefined;
  return {
    status: "OK",
    header: undefined,
    offset,
    writeHead: 0n,
    fragment: undefined,
    fragmentUrl: "",
    content: message.subarray(at),
  };
}

/** Any ReadResponse. @throws Error when it is not well-formed */
export function decodeRawReadResponse(message: Uint8Array): RawReadResponse {
  const reader = new BinaryReader(message);
  const response: RawReadResponse = {
    status: 0,
    header: undefined,
    offset: 0n,
    writeHead: 0n,
    fragment: undefined,
    fragmentUrl: "",
    content: undefined,
  };
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (!readField(reader, response, (field << 3) | type)) reader.skip(type, field);
  }
  return response;
}

/** False when this field, with this wire type, is none of the message's. */
function readField(reader: BinaryReader, response: RawReadResponse, tag: number): boolean {
  switch (tag) {
    case (1 << 3) | WireType.Varint:
      response.status = reader.int32();
      return true;
    case (2 << 3) | WireType.LengthDelimited:
      response.header = whole(reader, wire.Header);
      return true;
    case (3 << 3) | WireType.Varint:
      response.offset = BigInt(reader.int64());
      return true;
    case (4 << 3) | WireType.Varint:
      response.writeHead = BigInt(reader.int64());
      return true;
    case (5 << 3) | WireType.LengthDelimited:
      response.fragment = whole(reader, wire.Fragment);
      return true;
    case (6 << 3) | WireType.LengthDelimited:
      response.fragmentUrl = reader.string();
      return true;
    case (7 << 3) | WireType.LengthDelimited:
      response.content = reader.bytes();
      return true;
    default:
      return false;
  }
}

/** A message within the message. The generated decoders stop at a tag of 0, which no writer makes, and what follows it would be read as something else. */
function whole<Message>(
  reader: BinaryReader,
  type: { decode(input: BinaryReader, length: number): Message },
): Message {
  const inner = new BinaryReader(reader.bytes());
  const message = type.decode(inner, inner.len);
  if (inner.pos !== inner.len) throw new Error("a field has the number 0");
  return message;
}
