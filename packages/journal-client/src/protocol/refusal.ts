import { JournalError } from "../errors.js";

/** Whose fault a wrong value is, and the name of its field in sentences. */
export interface Place {
  readonly code: "invalid-argument" | "invalid-response";
  readonly field: string;
}

export const MAX_INT64: bigint = 2n ** 63n - 1n;

export function argument(field: string): Place {
  return { code: "invalid-argument", field };
}

export function answer(field: string): Place {
  return { code: "invalid-response", field };
}

/** The place of a field inside of another; a number is an index. */
export function within(place: Place, field: string | number): Place {
  return new Within(place, field);
}

/** Puts its name together only when somebody asks: nearly all values are right, and every call checks dozens. */
class Within implements Place {
  readonly code: Place["code"];
  readonly #outer: Place;
  readonly #name: string | number;

  constructor(outer: Place, name: string | number) {
    this.code = outer.code;
    this.#outer = outer;
    this.#name = name;
  }

  get field(): string {
    const outer = this.#outer.field;
    return typeof this.#name === "number" ? `${outer}[${this.#name}]` : `${outer}.${this.#name}`;
  }
}

/** A value as it stands in a sentence: short, whatever was given. */
export function show(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 120 ? `${value.slice(0, 117)}...` : value);
    case "bigint":
    case "number":
    case "boolean":
    case "undefined":
      return String(value);
    case "object":
      return value === null ? "null" : Array.isArray(value) ? `an array of ${value.length}` : "an object";
    default:
      return `a ${typeof value}`;
  }
}

/** @throws JournalError with the place's code: "<field> is <value>: <allowed>." */
export function refuse(place: Place, value: unknown, allowed: string): never {
  throw new JournalError(place.code, `${place.field} is ${show(value)}: ${allowed}.`);
}

/** An int64 within bounds, both inclusive. */
export function checkInt64(place: Place, value: unknown, min: bigint, max: bigint = MAX_INT64): void {
  if (typeof value !== "bigint" || value < min || value > max) {
    refuse(place, value, `it must be a bigint from ${min} to ${max}`);
  }
}

/** An integer of a Number within bounds, both inclusive. */
export function checkInteger(place: Place, value: unknown, min: number, max: number): void {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    refuse(place, value, `it must be a whole number from ${min} to ${max}`);
  }
}

/** Programs without types can give anything; undefined is the default, false. */
export function checkFlag(place: Place, value: unknown): void {
  if (value !== undefined && typeof value !== "boolean") {
    refuse(place, value, "it must be true, false or left out");
  }
}

/** Something with fields. */
export function checkObject(place: Place, value: unknown): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse(place, value, "it must be an object");
  }
}

export function checkArray(place: Place, value: unknown): void {
  if (!Array.isArray(value)) refuse(place, value, "it must be an array");
}

export function checkString(place: Place, value: unknown): void {
  if (typeof value !== "string") refuse(place, value, "it must be a string");
}
