import type { LabelSelector, LabelSet } from "../protocol/label.js";
import type { AppendRequest } from "../protocol/requests.js";

/** Whether two requests ask for the same, so that their contents may go with one RPC. */
export function isSameRequest(a: AppendRequest, b: AppendRequest): boolean {
  return (
    a === b ||
    (a.journal === b.journal &&
      (a.offset ?? 0n) === (b.offset ?? 0n) &&
      (a.doNotProxy ?? false) === (b.doNotProxy ?? false) &&
      (a.suspend ?? "SUSPEND_RESUME") === (b.suspend ?? "SUSPEND_RESUME") &&
      a.header === b.header &&
      isSameSelector(a.checkRegisters, b.checkRegisters) &&
      isSameSet(a.unionRegisters, b.unionRegisters) &&
      isSameSet(a.subtractRegisters, b.subtractRegisters))
  );
}

function isSameSelector(a: LabelSelector | undefined, b: LabelSelector | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a === b || (isSameSet(a.include, b.include) && isSameSet(a.exclude, b.exclude));
}

function isSameSet(a: LabelSet | undefined, b: LabelSet | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || a.length !== b.length) return false;
  return a.every((label, index) => {
    const other = b[index];
    return (
      other !== undefined &&
      label.name === other.name &&
      label.value === other.value &&
      (label.prefix ?? false) === (other.prefix ?? false)
    );
  });
}

/** A copy that its giver cannot change any more. */
export function copyRequest(request: AppendRequest): AppendRequest {
  const { checkRegisters, unionRegisters, subtractRegisters, header } = request;
  if (
    checkRegisters === undefined &&
    unionRegisters === undefined &&
    subtractRegisters === undefined &&
    header === undefined
  ) {
    return { ...request };
  }
  return structuredClone(request);
}
