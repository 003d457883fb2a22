import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Label, LabelSelector } from "../src/protocol/label.js";
import { formatLabelSelector, matchesSelector, parseLabelSelector } from "../src/protocol/label-selector.js";
import { addLabel, checkLabelsAt, labelSet, labelValue, labelValues } from "../src/protocol/label-set.js";
import { argument } from "../src/protocol/refusal.js";
import { compareUtf8 } from "../src/protocol/text-rules.js";
import { expectRefusal } from "./support/refusals.js";

const refuses = (words: string, call: () => unknown): void => expectRefusal("invalid-argument", words, call);

describe("a label set", () => {
  it("is sorted by name and value, each label once", () => {
    expect(labelSet({ bb: ["3", "1", "3"], aa: "0" })).toEqual([
      { name: "aa", value: "0" },
      { name: "bb", value: "1" },
      { name: "bb", value: "3" },
    ]);
    expect(labelSet({})).toEqual([]);
    expect(labelSet({ none: [] })).toEqual([]);
  });

  it("sorts as Go does, by the bytes of UTF-8, where JavaScript would not", () => {
    const above = "\u{20000}x"; // Begins with a surrogate, 0xd840, in UTF-16.
    const below = "\uff21x";
    expect([above, below].sort()).toEqual([above, below]);
    expect(labelSet({ [above]: "", [below]: "" }).map(({ name }) => name)).toEqual([below, above]);
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
      { numRuns: 1000 },
    );
  });

  it("gives the values of a label, all or the first", () => {
    const labels = labelSet({ DDDD: "111", aaa: ["222", "333"], ccc: "" });
    expect(labelValues(labels, "aaa")).toEqual(["222", "333"]);
    expect(labelValue(labels, "aaa")).toBe("222");
    expect(labelValue(labels, "ccc")).toBe("");
    expect(labelValues(labels, "ddd")).toEqual([]);
    expect(labelValue(labels, "ddd")).toBe(undefined);
  });

  it("takes names of 2 to 64 bytes and values of up to 1,024, of letters, digits and a few signs", () => {
    expect(labelSet({ "a/label": "a%20value=x", é1: "", ["a".repeat(64)]: "b".repeat(1024) })).toHaveLength(
      3,
    );
    refuses('labels[0].name is "a|label": only letters, digits and - _ + / . are allowed', () =>
      labelSet({ "a|label": "x" }),
    );
    refuses('labels[0].value is "a|value": only letters, digits and - _ + / . = % are allowed', () =>
      labelSet({ "a-label": "a|value" }),
    );
    refuses("its UTF-8 must be 2 to 64 bytes long, and it has 1", () => labelSet({ a: "x" }));
    refuses("it has 65", () => labelSet({ ["a".repeat(65)]: "x" }));
    refuses("it has 66", () => labelSet({ ["é".repeat(33)]: "x" }));
    refuses("it has 1025", () => labelSet({ aa: "a".repeat(1025) }));
    refuses("only letters", () => labelSet({ aa: "\ud800" }));
  });

  it("does not have a label with the empty value and another", () => {
    refuses("must not have both an empty value and another", () => labelSet({ aa: ["", "x"] }));
  });

  it("is refused when it is not what types promise", () => {
    refuses("it must be a string, or an array of strings", () => labelSet({ aa: 5 as never }));
    refuses("labels is null: it must be an object", () => labelSet(null as never));
    const check = (labels: unknown): void => checkLabelsAt(argument("labels"), labels);
    refuses("labels is undefined: it must be an array", () => check(undefined));
    refuses("labels[0] is null: it must be an object", () => check([null]));
    refuses("labels[0].name is 12: it must be a string", () => check([{ name: 12, value: "" }]));
    refuses("labels[0].prefix is 1", () => check([{ name: "aa", value: "", prefix: 1 }]));
  });

  it("has prefixes in selectors alone", () => {
    expect(labelSet({ "aa:prefix": "x/" })).toEqual([{ name: "aa", value: "x/", prefix: true }]);
    refuses("labels[0].prefix is true: only the labels of a selector may be prefixes", () =>
      checkLabelsAt(argument("labels"), labelSet({ "aa:prefix": "x/" })),
    );
    checkLabelsAt(argument("labels"), [{ name: "aa", value: "x", prefix: false }]);
  });

  it("is refused when its labels are not unique and sorted", () => {
    const check = (...labels: readonly (readonly [string, string])[]): void =>
      checkLabelsAt(
        argument("labels"),
        labels.map(([name, value]) => ({ name, value })),
      );
    refuses(
      'labels[1] is "aa=1": labels must be unique, and sorted by name and then by value; it comes after "bb=1"',
      () => check(["bb", "1"], ["aa", "1"]),
    );
    refuses("labels[1]", () => check(["aa", "2"], ["aa", "1"]));
    refuses("labels[1]", () => check(["aa", "1"], ["aa", "1"]));
    refuses("both an empty value and another", () => check(["aa", ""], ["aa", "1"]));
    check(["aa", "1"], ["aa", "2"], ["bb", ""]);
  });
});

/** Texts, what Gazette v0.103.0 parses them to (a "~" stands behind values that are prefixes), and how it prints that. */
const GOLDEN: readonly (readonly [text: string, include: string[], exclude: string[], printed: string])[] = [
  ["foo = bar", ["foo bar"], [], "foo=bar"],
  ["foo:prefix =bar", ["foo bar~"], [], "foo:prefix=bar"],
  ["foo != bar", [], ["foo bar"], "foo!=bar"],
  ["foo ", ["foo "], [], "foo"],
  [" !foo", [], ["foo "], "!foo"],
  [" foo in (bing, baz,bar)", ["foo bar", "foo baz", "foo bing"], [], "foo in (bar,baz,bing)"],
  [" foo not in ( pear, apple )", [], ["foo apple", "foo pear"], "foo notin (apple,pear)"],
  [
    "foo==bar, baz !=bing ,apple:prefix in (fruit, banana)",
    ["apple banana~", "apple fruit~", "foo bar"],
    ["baz bing"],
    "apple:prefix in (banana,fruit),foo=bar,baz!=bing",
  ],
  [
    "!foo,baz,bing:prefix not in (thing-one, thing-2),!bar,",
    ["baz "],
    ["bar ", "bing thing-2~", "bing thing-one~", "foo "],
    "baz,!bar,bing:prefix notin (thing-2,thing-one),!foo",
  ],
  [
    "foo = ba=ar, baz=bi=ngo,exc!=who=ops",
    ["baz bi=ngo", "foo ba=ar"],
    ["exc who=ops"],
    "baz=bi=ngo,foo=ba=ar,exc!=who=ops",
  ],
  // "foo:prefix" is printed where that name belongs, behind "foo.x".
  ["foo=b, foo:prefix = a/, foo.x", ["foo a/~", "foo b", "foo.x "], [], "foo=b,foo.x,foo:prefix=a/"],
  ["in in (in,notin)", ["in in", "in notin"], [], "in in (in,notin)"],
  ["", [], [], ""],
];

function brief(labels: readonly Label[]): string[] {
  return labels.map(({ name, value, prefix }) => `${name} ${value}${prefix ? "~" : ""}`);
}

describe("a label selector", () => {
  it.each(GOLDEN)("reads and prints %j as Gazette does", (text, include, exclude, printed) => {
    const selector = parseLabelSelector(text);
    expect(brief(selector.include)).toEqual(include);
    expect(brief(selector.exclude)).toEqual(exclude);
    expect(formatLabelSelector(selector)).toBe(printed);
    expect(parseLabelSelector(printed)).toEqual(selector);
  });

  it("sets a value that begins with a sign of equality apart, where Gazette prints another one", () => {
    const selector = { include: labelSet({ foo: "=bar" }), exclude: labelSet({ foo: "=bar" }) };
    expect(formatLabelSelector(selector)).toBe("foo= =bar,foo!==bar");
    expect(parseLabelSelector("foo= =bar,foo!==bar")).toEqual(selector);
  });

  it.each([
    "££",
    "foo,,bar",
    "foo, foo in (bar)",
    "apple,banana err in (bar)",
    "apple,banana in (bar,err baz)",
    "ban=ana in (bar)",
    "f=bar",
    "foo=bar baz",
    "foo  = bar",
    "foo in ()",
    "foo=a,foo:prefix=a",
    "foo in (bar",
    `${"a".repeat(65)}=x`,
  ])("refuses %j, as Gazette does", (text) => {
    refuses("selector", () => parseLabelSelector(text));
  });

  it("says where it stopped to understand", () => {
    refuses('selector, from character 6 on, is "banana err in (bar)": it must be a term like', () =>
      parseLabelSelector("apple,banana err in (bar)"),
    );
    refuses('a value of "banana in (bar,err baz)" is "err baz"', () =>
      parseLabelSelector("apple,banana in (bar,err baz)"),
    );
    refuses("selector is 5: it must be a string", () => parseLabelSelector(5 as never));
  });

  it("takes no longer than its length asks for", () => {
    for (const text of [
      "a".repeat(100_000),
      "a=".repeat(50_000),
      `aa in (${"b,".repeat(50_000)}`,
      " ".repeat(100_000),
    ]) {
      refuses("selector", () => parseLabelSelector(`${text}|`));
    }
  });

  it("comes back the same when it was printed", () => {
    const name = fc.stringMatching(/^[a-cé\-_+/.]{2,4}$/u);
    const value = fc.oneof(fc.constant(""), fc.stringMatching(/^[a-c=%\u{20000}]{1,4}$/u));
    const labels = fc.array(fc.tuple(name, value, fc.boolean()), { maxLength: 8 }).map((all) => {
      const set: Label[] = [];
      for (const [one, text, prefix] of all) addLabel(set, prefix ? `${one}:prefix` : one, text);
      return set.filter(
        (label, index) =>
          !set.some(
            (other, at) =>
              at < index && other.name === label.name && (other.value === label.value || other.value === ""),
          ),
      );
    });
    fc.assert(
      fc.property(labels, labels, (include, exclude) => {
        const selector: LabelSelector = { include, exclude };
        expect(parseLabelSelector(formatLabelSelector(selector))).toEqual(selector);
      }),
      { numRuns: 500 },
    );
  });
});

describe("a selector matches", () => {
  const selector: LabelSelector = {
    include: labelSet({ "inc-1:prefix": "a-val/", "inc-2": "", "inc-3": ["val-1", "val-2"] }),
    exclude: labelSet({ "exc-1": "", "exc-2": ["val-3", "val-4"] }),
  };
  const good = { foo: "bar", "inc-1": "a-val/a/1", "inc-2": "any", "inc-3": "val-1" };
  const excluding: LabelSelector = { include: [], exclude: selector.exclude };

  it.each<[string, Record<string, string | string[]>, boolean]>([
    ["every name of what is included", good, true],
    ["whatever value where none is asked for", { ...good, "inc-2": "other" }, true],
    ["any of several values", { ...good, "inc-3": "val-2" }, true],
    ["one of a label's values", { ...good, "inc-3": ["aaa", "val-2", "zzz"] }, true],
    ["an excluded label with another value", { ...good, "exc-2": "val-ok" }, true],
    ["not: nothing", {}, false],
    ["not: another prefix", { ...good, "inc-1": "bad-val/4" }, false],
    ["not: a name that is missing", { ...good, "inc-2": [] }, false],
    ["not: another value", { ...good, "inc-3": "val-other" }, false],
    ["not: an excluded label", { ...good, "exc-1": "any" }, false],
    ["not: an excluded value", { ...good, "exc-2": "val-4" }, false],
  ])("%s", (_, labels, expected) => {
    expect(matchesSelector(selector, labelSet(labels))).toBe(expected);
  });

  it("all that is not excluded, when it includes nothing", () => {
    expect(matchesSelector({ include: [], exclude: [] }, [])).toBe(true);
    expect(matchesSelector(excluding, labelSet({ foo: "bar" }))).toBe(true);
    expect(matchesSelector(excluding, labelSet({ "exc-1": "any" }))).toBe(false);
    expect(matchesSelector(excluding, labelSet({ "exc-2": "val-3" }))).toBe(false);
  });

  it("what is asked for of each name, one by one", () => {
    const pairs = fc.array(fc.tuple(fc.constantFrom("aa", "bb", "cc"), fc.constantFrom("x", "xy", "z")), {
      maxLength: 5,
    });
    const set = (all: readonly (readonly [string, string])[], prefix: boolean): Label[] => {
      const labels: Label[] = [];
      for (const [name, value] of all) addLabel(labels, prefix ? `${name}:prefix` : name, value);
      return labels;
    };
    fc.assert(
      fc.property(pairs, pairs, fc.boolean(), (wanted, having, prefix) => {
        const met = (name: string): boolean =>
          wanted.some(
            ([one, value]) =>
              one === name &&
              having.some(
                ([other, text]) => other === name && (prefix ? text.startsWith(value) : text === value),
              ),
          );
        const names = [...new Set(wanted.map(([name]) => name))];
        const labels = set(having, false);
        expect(matchesSelector({ include: set(wanted, prefix), exclude: [] }, labels)).toBe(names.every(met));
        expect(matchesSelector({ include: [], exclude: set(wanted, prefix) }, labels)).toBe(!names.some(met));
      }),
      { numRuns: 500 },
    );
  });
});
