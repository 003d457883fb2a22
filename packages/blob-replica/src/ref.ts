import { hash } from "node:crypto";
import { BlobError } from "./errors.js";

/** The name of a blob: the SHA-256 of its content, as 64 lower-case hex digits. Text order is byte order. */
export type Ref = string & { readonly __brand: "Ref" };

/** The bytes of a ref. */
export const refBytes = 32;

const refText = /^[0-9a-f]{64}$/;

/** @throws BlobError "invalid-ref" */
export function parseRef(text: string): Ref {
  if (typeof text !== "string" || !refText.test(text)) {
    throw new BlobError("invalid-ref", `a ref is 64 lower-case hex digits, not ${shown(text)}`);
  }
  return text as Ref; // checked
}

/** The ref of a blob. Costs its SHA-256. */
export function refOf(blob: Uint8Array): Ref {
  return hash("sha256", blob, "hex") as Ref; // SHA-256 has 64 digits
}

/** @throws BlobError "invalid-ref" for anything but 32 bytes */
export function refFromBytes(bytes: Uint8Array): Ref {
  if (bytes.length !== refBytes) {
    throw new BlobError("invalid-ref", `a ref has ${refBytes} bytes, not ${bytes.length}`);
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, refBytes).toString("hex") as Ref; // 32 bytes are 64 digits
}

/** The 32 bytes of a ref. */
export function refToBytes(ref: Ref): Uint8Array {
  return new Uint8Array(Buffer.from(ref, "hex"));
}

function shown(value: unknown): string {
  const text = String(value);
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
