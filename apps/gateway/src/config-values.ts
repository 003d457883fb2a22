/** Values of flags. */
import { InvalidArgumentError } from "commander";

export function count(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not an integer from ${min} to ${max}`);
  };
}
