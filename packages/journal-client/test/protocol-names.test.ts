import { describe, expect, it } from "vitest";
import type { Fragment } from "../src/protocol/fragment.js";
import {
  checkFragmentAt,
  fragmentName,
  fragmentPath,
  parseFragmentPath,
} from "../src/protocol/fragment-name.js";
import { checkJournalName, stripMeta } from "../src/protocol/journal-name.js";
import { answer, argument } from "../src/protocol/refusal.js";
import {
  checkEndpointAt,
  checkFragmentStoreAt,
  checkUrl,
  endpointAddress,
} from "../src/protocol/url-rules.js";
import { expectRefusal } from "./support/refusals.js";

const refuses = (words: string, call: () => unknown): void => expectRefusal("invalid-argument", words, call);

describe("the name of a journal", () => {
  it.each([
    "a/valid/path/to/a/journal",
    "foo/bar;baz/bing",
    "foo/bar/webhook;foo/bar/webhook/http%3A%2F%2Fexample.com%3A9000%2F",
    "../a", // As path.Clean of Go has it.
    "é漢字/ⅷ",
    "a".repeat(512),
    `${"a".repeat(512)};${"b".repeat(512)}`,
  ])("may be %j", (name) => {
    checkJournalName(name);
  });

  it.each([
    ["/leading/slash", 'it must not begin with "/"'],
    ["trailing/slash/", "clean path"],
    ["extra-middle//slash", "clean path"],
    ["a/./path", "clean path"],
    ["a/../path", "clean path"],
    ["path/..", "clean path"],
    ["not-$%|-a valid token", "only letters, digits and - _ + / . = % are allowed"],
    ["white space", "only letters"],
    ["", "4 to 512 bytes long, and it has 0"],
    ["zzz", "and it has 3"],
    ["a".repeat(513), "and it has 513"],
    ["é".repeat(257), "and it has 514"],
    ["foo/bar;disallowed#rune", 'journal.";meta" part is "disallowed#rune": only letters'],
    ["foo/bar;a;b", "only letters"],
    ["foo/bar;", 'journal.";meta" part is "": its UTF-8 must be 1 to 512 bytes'],
    ["foo/bar;/rooted", 'must not begin with "/"'],
  ])("may not be %j", (name, words) => {
    refuses(words, () => checkJournalName(name));
  });

  it("must be a string, and is not shown as a whole when it is long", () => {
    refuses("journal is undefined: it must be the name of a journal, a string", () =>
      checkJournalName(undefined as never),
    );
    expect(() => checkJournalName(`/${"a".repeat(100_000)}`)).toThrow(/^.{100,300}$/);
  });

  it("is stripped of its meta part", () => {
    expect(stripMeta("foo/bar;meta-part;x")).toBe("foo/bar");
    expect(stripMeta("foo/bar")).toBe("foo/bar");
  });
});

const SUM = Uint8Array.from({ length: 20 }, (_, index) => index + 1);
const HEX = "0102030405060708090a0b0c0d0e0f1011121314";
const NAME = `00000000499602d2-7fffffffffffffff-${HEX}`;
const fragment: Fragment = {
  journal: "a/journal",
  begin: 1234567890n,
  end: 2n ** 63n - 1n,
  sum: SUM,
  compressionCodec: "GZIP",
  backingStore: "",
  modTime: 0n,
  pathPostfix: "",
};

describe("the file of a fragment", () => {
  it.each([
    ["NONE", ".raw"],
    ["GZIP", ".gz"],
    ["ZSTANDARD", ".zst"],
    ["SNAPPY", ".sz"],
    ["GZIP_OFFLOAD_DECOMPRESSION", ""],
  ] as const)("is named by its content and its codec %s", (compressionCodec, extension) => {
    expect(fragmentName({ ...fragment, compressionCodec })).toBe(`${NAME}${extension}`);
    expect(parseFragmentPath("a/journal", `${NAME}${extension}`)).toEqual({ ...fragment, compressionCodec });
  });

  it.each([
    [".gzip", "GZIP"],
    [".GZ", "GZIP"],
    [".zstandard", "ZSTANDARD"],
    [".snappy", "SNAPPY"],
    [".gzod", "GZIP_OFFLOAD_DECOMPRESSION"],
  ])("is known by the extension %s too", (extension, codec) => {
    expect(parseFragmentPath("a/journal", `${NAME}${extension}`).compressionCodec).toBe(codec);
  });

  it("is in the folder of its journal, and of its postfix", () => {
    expect(fragmentPath(fragment)).toBe(`a/journal/${NAME}.gz`);
    const postfixed = { ...fragment, pathPostfix: "a=1/b=2" };
    expect(fragmentPath(postfixed)).toBe(`a/journal/a=1/b=2/${NAME}.gz`);
    expect(parseFragmentPath("a/journal", `a=1/b=2/${NAME}.gz`)).toEqual(postfixed);
  });

  it("is that of nothing, with a sum of zeros", () => {
    const path = `00000000499602d2-00000000499602d2-${"0".repeat(40)}.raw`;
    const empty = parseFragmentPath("a/journal", path);
    expect(empty).toMatchObject({ begin: empty.end, sum: new Uint8Array(20) });
    expect(fragmentName(empty)).toBe(path);
  });

  it.each([
    [`${NAME}-extra.gz`, "must be named"],
    [`00000000499602XX-7fffffffffffffff-${HEX}.gz`, "must be named"],
    [`00000000499602d2-7fffffffffffffXX-${HEX}.gz`, "must be named"],
    [`${NAME.slice(0, -2)}XX.gz`, "must be named"],
    [`${NAME.slice(0, -2)}.gz`, "must be named"],
    [`/${NAME}.gz`, "must be named"],
    ["", "must be named"],
    [`${NAME}.XXX`, "its extension must be one of .raw, .gz"],
    [`7fffffffffffffff-00000000499602d2-${HEX}.gz`, "fragment.end is 1234567890"],
    [`0-8000000000000000-${HEX}.gz`, "fragment.end is 9223372036854775808"],
    [`../${NAME}.gz/../${NAME}.gz`, "fragment.pathPostfix"],
    [`a//b/${NAME}.gz`, "fragment.pathPostfix"],
  ])("is not %j", (path, words) => {
    refuses(words, () => parseFragmentPath("a/journal", path));
  });
});

describe("a fragment", () => {
  it.each<[string, Partial<Fragment>]>([
    ["journal", { journal: "a" }],
    ["begin", { begin: -1n }],
    ["end", { begin: 5n, end: 4n }],
    ["sum", { sum: new Uint8Array(19) }],
    ["compressionCodec", { compressionCodec: "INVALID" as never }],
    ["compressionCodec", { compressionCodec: "toString" as never }],
    ["modTime", { modTime: 2n ** 63n }],
    ["pathPostfix", { pathPostfix: "/a=b" }],
    ["backingStore", { backingStore: undefined as never }],
  ])("is refused for its %s", (field, fields) => {
    checkFragmentAt(answer("fragment"), fragment);
    expectRefusal("invalid-response", `fragment.${field} is `, () =>
      checkFragmentAt(answer("fragment"), { ...fragment, ...fields }),
    );
  });
});

describe("an endpoint", () => {
  const check = (endpoint: unknown): void => checkEndpointAt(argument("endpoint"), endpoint);

  it.each([
    ["http://host:1234/path?query", "host:1234"],
    ["http://host", "host:80"],
    ["https://host/", "host:443"],
    ["https://[::1]", "[::1]:443"],
    ["http://[::1]:8080", "[::1]:8080"],
    ["unix://some-host/a/path", "unix:///a/path"],
  ])("%s is dialed at %s", (endpoint, address) => {
    check(endpoint);
    expect(endpointAddress(endpoint)).toBe(address);
  });

  it.each([
    [":garbage: :garbage:", "its scheme is missing"],
    ["/baz/bing", "it must be absolute"],
    ["", "it must be absolute"],
    ["http:///baz/bing", "it must name a host"],
    ["http:baz", "it must name a host"],
    ["http://host:port", "its host is not well-formed"],
    ["http://a host/", "its host is not well-formed"],
    ["http://host/%zz", "two hexadecimal digits"],
    ["http://host/\n", "control characters"],
    [5, "it must be a URL, as a string"],
  ])("%j is refused", (endpoint, words) => {
    refuses(words, () => check(endpoint));
  });
});

describe("a fragment store", () => {
  const check = (store: unknown): void => checkFragmentStoreAt(argument("store"), store);

  it.each([
    "s3://my-bucket/?query",
    "s3://my-bucket/subpath/?query",
    "gs://bucket/",
    "azure://container/prefix/",
    "azure-ad://tenant/account/container/",
    "file:///mnt/path/",
    "file:///mnt/path/?query",
    "file:///",
  ])("may be %s", (store) => {
    check(store);
  });

  it.each([
    ["s3://my-bucket", 'its path must end in "/"'],
    ["s3://my-bucket/subpath?query", 'its path must end in "/"'],
    [":garbage: :garbage:", "its scheme is missing"],
    ["foobar://baz/", "its scheme must be s3, gs, azure, azure-ad or file"],
    ["/baz/bing/", "it must be absolute"],
    ["gs:///baz/bing/", "it must name a bucket"],
    ["azure-ad:///account/container/", "it must name a tenant"],
    ["azure-ad://tenant/account/", "a storage account and a container"],
    ["azure-ad://tenant", "a storage account and a container"],
    ["file://host/mnt/path/", "has no host"],
    ["file:///mnt/path", 'its path must end in "/"'],
    ["file:mnt/path/", 'its path must end in "/"'],
    [undefined, "it must be a URL, as a string"],
  ])("may not be %j", (store, words) => {
    refuses(words, () => check(store));
  });
});

describe("a URL of a fragment", () => {
  it("may be relative, or nothing, but not garbage", () => {
    for (const url of ["", "a/b", "https://user:pass@host:1/a%20b?x=%zz#y", "file:///a/b"])
      checkUrl(answer("url"), url);
    for (const url of [":/bad/url", "https://host/%2", "https://ho st/", "https://host/#%"]) {
      expectRefusal("invalid-response", "url is ", () => checkUrl(answer("url"), url));
    }
  });
});
