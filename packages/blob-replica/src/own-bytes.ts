import { largeBytes, reuseFreedMemory } from "./reuse-freed-memory.js";

/** Memory that is not zeroed, since it is filled at once, and is no part of Node's shared pool. */
export function uninitialized(length: number): Uint8Array {
  if (length >= largeBytes) reuseFreedMemory();
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}

/** What the one who gets it may change. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= largeBytes) reuseFreedMemory();
  return new Uint8Array(bytes); // not slice(): that of a Buffer is a view
}
