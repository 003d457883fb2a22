import type { Label, LabelSet } from "./label.js";
import { argument, checkArray, checkFlag, checkObject, type Place, refuse, within } from "./refusal.js";
import { checkToken, checkValueToken, compareUtf8 } from "./text-rules.js";

const PREFIX_SUFFIX = ":prefix";

/** By name, then by value, as brokers sort. */
function compareLabels(a: Label, b: Label): number {
  return compareUtf8(a.name, b.name) || compareUtf8(a.value, b.value);
}

/** Adds a label where it belongs. One that is there already is not added again; a name that ends in ":prefix" makes a prefix label. */
export function addLabel(labels: Label[], name: string, value: string): void {
  const prefix = name.endsWith(PREFIX_SUFFIX);
  const label: Label = prefix
    ? { name: name.slice(0, -PREFIX_SUFFIX.length), value, prefix: true }
    : { name, value };
  let low = 0;
  let high = labels.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareLabels(labels[middle]!, label) < 0) low = middle + 1;
    else high = middle;
  }
  const there = labels[low];
  if (
    there !== undefined &&
    compareLabels(there, label) === 0 &&
    (there.prefix ?? false) === (label.prefix ?? false)
  ) {
    return;
  }
  labels.splice(low, 0, label);
}

/** @param prefixes whether prefix labels may be there: only in selectors. */
export function checkLabelsAt(
  place: Place,
  labels: unknown,
  prefixes: "allowed" | "refused" = "refused",
): void {
  checkArray(place, labels);
  let before: Label | undefined;
  for (const [index, label] of (labels as LabelSet).entries()) {
    if (labelProblem(label, prefixes) || (before !== undefined && !ordered(before, label))) {
      explain(place, { index, label, before, prefixes });
    }
    before = label;
  }
}

/** Whether a label is not plainly good. Cheap for the labels of nearly everybody; `explain` has the last word. */
function labelProblem(label: Label, prefixes: "allowed" | "refused"): boolean {
  return (
    typeof label !== "object" ||
    label === null ||
    typeof label.name !== "string" ||
    typeof label.value !== "string" ||
    !/^[\w\-+/.]{2,64}$/.test(label.name) ||
    !/^[\w\-+/.=%]{0,1024}$/.test(label.value) ||
    (label.prefix !== undefined &&
      label.prefix !== false &&
      !(label.prefix === true && prefixes === "allowed"))
  );
}

function ordered(before: Label, label: Label): boolean {
  const names = compareUtf8(before.name, label.name);
  return names < 0 || (names === 0 && compareUtf8(before.value, label.value) < 0 && before.value !== "");
}

function explain(
  place: Place,
  at: {
    index: number;
    label: Label;
    before: Label | undefined;
    prefixes: "allowed" | "refused";
  },
): void {
  const { index, label, before, prefixes } = at;
  const here = within(place, index);
  checkObject(here, label);
  checkToken(within(here, "name"), label.name, 2, 64);
  checkValueToken(within(here, "value"), label.value, 1024);
  checkFlag(within(here, "prefix"), label.prefix);
  if (label.prefix === true && prefixes === "refused") {
    refuse(within(here, "prefix"), true, "only the labels of a selector may be prefixes");
  }
  if (before === undefined || ordered(before, label)) return;
  const text = `${label.name}=${label.value}`;
  if (before.name === label.name && before.value === "") {
    refuse(here, text, "a label must not have both an empty value and another");
  }
  refuse(
    here,
    text,
    `labels must be unique, and sorted by name and then by value; it comes after ${JSON.stringify(`${before.name}=${before.value}`)}`,
  );
}

/**
 * Makes a label set: `labelSet({ env: "test", region: ["eu", "us"] })`. Values are sorted; one that is given twice is taken once. In what
 * becomes part of a selector, a name may end in `:prefix`.
 * @throws JournalError "invalid-argument" when a name is not 2 to 64 bytes of letters, digits and `- _ + / .`, a value is longer than 1,024
 * bytes or has other characters than those and `= %`, or a name has both the empty value and others.
 */
export function labelSet(labels: Readonly<Record<string, string | readonly string[]>>): LabelSet {
  const place = argument("labels");
  checkObject(place, labels);
  const set: Label[] = [];
  for (const [name, values] of Object.entries(labels)) {
    for (const value of Array.isArray(values) ? (values as readonly unknown[]) : [values]) {
      if (typeof value !== "string")
        refuse(within(place, name), value, "it must be a string, or an array of strings");
      addLabel(set, name, value);
    }
  }
  checkLabelsAt(place, set, "allowed");
  return set;
}

/** The values of a label, in their order; none when the set has no such label. */
export function labelValues(labels: LabelSet, name: string): readonly string[] {
  return labels.filter((label) => label.name === name).map((label) => label.value);
}

/** The first value of a label, or undefined. */
export function labelValue(labels: LabelSet, name: string): string | undefined {
  return labels.find((label) => label.name === name)?.value;
}
