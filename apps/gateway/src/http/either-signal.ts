/**
 * A signal that aborts when one of the two does, with its reason, until it is released. Not AbortSignal.any: in Node 20 a signal that lives as
 * long as the process never forgets what was derived from it, and every request derives one.
 */
export function eitherSignal(
  one: AbortSignal,
  other: AbortSignal,
): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const abortOne = (): void => controller.abort(one.reason);
  const abortOther = (): void => controller.abort(other.reason);
  one.addEventListener("abort", abortOne, { once: true });
  other.addEventListener("abort", abortOther, { once: true });
  if (one.aborted) abortOne();
  if (other.aborted) abortOther();
  return {
    signal: controller.signal,
    release: () => {
      one.removeEventListener("abort", abortOne);
      other.removeEventListener("abort", abortOther);
    },
  };
}
