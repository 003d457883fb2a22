/** The language of label selectors, as broker/protocol/label_extensions.go of Gazette has it. */
import type { Label, LabelSelector, LabelSet } from "./label.js";
import { addLabel, checkLabelsAt } from "./label-set.js";
import { argument, checkObject, type Place, refuse, within } from "./refusal.js";
import { compareUtf8 } from "./text-rules.js";

const NAME = " ?([\\p{L}\\p{N}\\-_+/.]{2,}(?::prefix)?)";
const VALUE = " ?([\\p{L}\\p{N}\\-_+/.=%]*)";
const END = " ?(?:,|$)";
const LIST = " ?\\(([^)]+)\\)";
const TERMS: readonly { pattern: RegExp; excluded: boolean; values: "one" | "list" }[] = [
  { pattern: new RegExp(`^${NAME} ?=?=${VALUE}${END}`, "u"), excluded: false, values: "one" },
  { pattern: new RegExp(`^${NAME} ?!=${VALUE}${END}`, "u"), excluded: true, values: "one" },
  { pattern: new RegExp(`^${NAME} in${LIST}${END}`, "u"), excluded: false, values: "list" },
  { pattern: new RegExp(`^${NAME} not ?in${LIST}${END}`, "u"), excluded: true, values: "list" },
  { pattern: new RegExp(`^${NAME}${END}`, "u"), excluded: false, values: "one" },
  { pattern: new RegExp(`^ ?!${NAME}${END}`, "u"), excluded: true, values: "one" },
];
const LIST_VALUE = new RegExp(`^${VALUE}${END}`, "u");

/**
 * Reads a selector: terms with commas between them, all of which must hold.
 * - `foo = bar` (also `==`): has the label foo with the value bar; `foo != bar`: has it not.
 * - `foo`: has the label, with whatever value; `!foo`: does not have it.
 * - `foo in (a, b)`: has one of these values; `foo notin (a, b)` (also `not in`): has none of them.
 * - `foo:prefix = a/` (and with all others): values that begin with `a/`.
 *
 * A single space may stand around names, values and signs. "" is the selector of everything. `formatLabelSelector` is the way back.
 * @throws JournalError "invalid-argument"
 */
export function parseLabelSelector(text: string): LabelSelector {
  const place = argument("selector");
  if (typeof text !== "string") refuse(place, text, "it must be a string");
  const include: Label[] = [];
  const exclude: Label[] = [];
  for (let rest = text; rest !== ""; ) {
    const term = readTerm(rest);
    if (term === undefined) {
      refuse(
        argument(`selector, from character ${text.length - rest.length} on,`),
        rest,
        'it must be a term like "name", "!name", "name = value", "name != value", "name in (a, b)" or "name notin (a, b)", and a comma or the end',
      );
    }
    for (const value of term.values) addLabel(term.excluded ? exclude : include, term.name, value);
    rest = rest.slice(term.length);
  }
  const selector = { include, exclude };
  checkSelectorAt(place, selector);
  return selector;
}

/** The first term of a text. The order of the attempts is Gazette's, and matters: "a==b" is no label "a" with the value "=b". */
function readTerm(
  text: string,
): { name: string; values: readonly string[]; excluded: boolean; length: number } | undefined {
  for (const { pattern, excluded, values } of TERMS) {
    const match = pattern.exec(text);
    if (match === null) continue;
    const [all, name = "", value = ""] = match;
    return {
      name,
      values: values === "list" ? readList(value, text) : [value],
      excluded,
      length: all.length,
    };
  }
  return undefined;
}

function readList(list: string, term: string): readonly string[] {
  const values: string[] = [];
  for (let rest = list; rest !== ""; ) {
    const match = LIST_VALUE.exec(rest);
    if (match === null) {
      refuse(
        argument(`selector: a value of ${JSON.stringify(term.slice(0, 120))}`),
        rest,
        "only letters, digits and - _ + / . = % are allowed, and commas between values",
      );
    }
    values.push(match[1]!);
    rest = rest.slice(match[0].length);
  }
  return values;
}

/**
 * Prints a selector as brokers do: what is included first, names in order. `parseLabelSelector` of it gives the same selector. (A value that
 * begins with "=" gets a space before it: brokers print `foo==bar` for "=bar", and would read that as "bar".)
 */
export function formatLabelSelector(selector: LabelSelector): string {
  return [...formatTerms(selector.include, false), ...formatTerms(selector.exclude, true)].join(",");
}

function formatTerms(labels: LabelSet, excluded: boolean): string[] {
  const named = labels.map(({ name, value, prefix }) => ({ name: prefix ? `${name}:prefix` : name, value }));
  named.sort((a, b) => compareUtf8(a.name, b.name));
  const terms: string[] = [];
  for (let begin = 0; begin < named.length; ) {
    const { name, value } = named[begin]!;
    let end = begin + 1;
    while (named[end]?.name === name) end++;
    const values = named.slice(begin, end).map((label) => label.value);
    if (values.length > 1) terms.push(`${name} ${excluded ? "notin" : "in"} (${values.join(",")})`);
    else if (value === "") terms.push(excluded ? `!${name}` : name);
    else terms.push(`${name}${excluded ? "!=" : value.startsWith("=") ? "= " : "="}${value}`);
    begin = end;
  }
  return terms;
}

/**
 * Whether a selector means a set of labels. In listings, brokers see a journal's name as one more label, `name`, and each folder of it as
 * `prefix`: add them to the set when the selector asks for them.
 */
export function matchesSelector(selector: LabelSelector, labels: LabelSet): boolean {
  return matchesEvery(selector.include, labels) && !matchesAny(selector.exclude, labels);
}

function matchesLabel(wanted: Label, label: Label): boolean {
  if (wanted.name !== label.name) return false;
  if (wanted.value === "") return true;
  return wanted.prefix ? label.value.startsWith(wanted.value) : label.value === wanted.value;
}

function matchesAny(wanted: LabelSet, labels: LabelSet): boolean {
  return wanted.some((one) => labels.some((label) => matchesLabel(one, label)));
}

function matchesEvery(wanted: LabelSet, labels: LabelSet): boolean {
  const names = new Set(wanted.map((label) => label.name));
  const matched = new Set<string>();
  for (const one of wanted) {
    if (!matched.has(one.name) && labels.some((label) => matchesLabel(one, label))) matched.add(one.name);
  }
  return matched.size === names.size;
}

export function checkSelectorAt(place: Place, selector: unknown): void {
  checkObject(place, selector);
  const { include, exclude } = selector as LabelSelector;
  checkLabelsAt(within(place, "include"), include, "allowed");
  checkLabelsAt(within(place, "exclude"), exclude, "allowed");
}

/** The selector of everything. */
export const EVERY_JOURNAL: LabelSelector = { include: [], exclude: [] };
