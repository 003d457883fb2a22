/** The type of an array as the engine knows it, which no prototype, proxy or property can pretend, in any realm. */
const typedArrayTag: (this: unknown) => unknown = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)!.get!;

/** Whether it really is a Uint8Array: `instanceof` also says yes to objects on which every access throws. */
export function isBytes(value: unknown): value is Uint8Array {
  return typedArrayTag.call(value) === "Uint8Array";
}
