/** Memory that is not zeroed, since it is filled at once, and is no part of Node's shared pool. */
export function uninitialized(length: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
