import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bookmarkKey,
  bookmarkLeaseKey,
  bufferKey,
  consumerKey,
  formatSegmentId,
  type ParsedKey,
  parseConsumerName,
  parseKey,
  parseSegmentName,
  parseSubscriptionName,
  parseTopicName,
  prefixes,
  rangeLeaseKey,
  rangeSizeKey,
  type SegmentId,
  segmentKey,
  segmentName,
  serverKey,
  subscriptionKey,
  TopicError,
} from "../src/protocol.js";

const topic = parseTopicName("orders");
const subscription = parseSubscriptionName("billing");
const consumer = parseConsumerName("host-1:80");
const range = { from: 64, to: 128 };
const segment: SegmentId = { topic, range, startTime: 138648505420000000n };

describe("the keys in etcd", () => {
  // Goldens: the seed's names as its document has them; what is under /x/ is ours and fixed since the first version.
  const goldens: readonly (readonly [string, string, ParsedKey])[] = [
    [rangeSizeKey(topic), "/topic_range_sizes/orders", { kind: "range-size", topic }],
    [rangeLeaseKey(topic, range), "/hash_range_leases/orders/64-127", { kind: "range-lease", topic, range }],
    [segmentKey(segment), "/segments/orders/138648505420000000_64-127", { kind: "segment", segment }],
    [serverKey(segment), "/buffer_segments/orders/138648505420000000_64-127", { kind: "server", segment }],
    [
      subscriptionKey(topic, subscription),
      "/subscriptions/orders/billing",
      { kind: "subscription", topic, subscription },
    ],
    [
      bookmarkKey(subscription, segment),
      "/bookmarks/orders/billing/138648505420000000_64-127",
      { kind: "bookmark", subscription, segment },
    ],
    [
      bookmarkLeaseKey(subscription, segment),
      "/bookmark_leases/orders/billing/138648505420000000_64-127",
      { kind: "bookmark-lease", subscription, segment },
    ],
    [bufferKey("b1"), "/x/buffers/b1", { kind: "buffer", buffer: "b1" }],
    [
      consumerKey(topic, subscription, consumer),
      "/x/consumers/orders/billing/host-1:80",
      { kind: "consumer", topic, subscription, consumer },
    ],
  ];
  for (const [key, golden, parsed] of goldens) {
    it(`are named for ever: ${golden}`, () => {
      expect(key).toBe(golden);
      expect(parseKey(golden)).toEqual(parsed);
    });
  }

  it("cover every prefix, and each prefix ends a name, so that topic a is not topic ab", () => {
    const keys = goldens.map(([key]) => key);
    for (const prefix of Object.values(prefixes)) {
      expect(prefix.endsWith("/")).toBe(true);
      expect(keys.filter((key) => key.startsWith(prefix))).toHaveLength(1);
    }
    expect(keys).toHaveLength(Object.keys(prefixes).length);
  });

  it("of somebody else are left alone", () => {
    for (const key of ["", "/", "/other/orders", "/segmentsx/a/b", "/x", "/x/other/1", "/registry/pods"]) {
      expect(parseKey(key)).toBeUndefined();
    }
  });

  it("with one of our prefixes and another form are reported", () => {
    const wrong = [
      "/topic_range_sizes/",
      "/topic_range_sizes/a b",
      "/topic_range_sizes/orders/6",
      "/hash_range_leases/orders",
      "/hash_range_leases/orders/63",
      "/hash_range_leases/orders/127-64",
      "/segments/orders/64-127",
      "/segments/orders/x_64-127",
      "/segments/orders/99999999999999999999_64-127",
      "/segments/orders/1_64-127/",
      "/buffer_segments/orders",
      "/subscriptions/orders",
      "/subscriptions/orders/a/b",
      "/bookmarks/orders/1_64-127",
      "/bookmark_leases/orders/a-b/1_64-127",
      "/x/buffers/b1/2",
      "/x/consumers/orders/billing",
    ];
    for (const key of wrong) expect(() => parseKey(key), key).toThrow(TopicError);
  });

  it("come back as they were, for every name, range and time", () => {
    const name = fc.stringMatching(/^[A-Za-z0-9_]{1,128}$/);
    const hashes = fc
      .tuple(fc.nat(65535), fc.nat(65535))
      .map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) + 1 }));
    const time = fc.bigInt({ min: 0n, max: 2n ** 60n - 1n });
    fc.assert(
      fc.property(name, name, hashes, time, (t, s, r, startTime) => {
        const id: SegmentId = { topic: parseTopicName(t), range: r, startTime };
        const sub = parseSubscriptionName(s);
        expect(parseSegmentName(t, segmentName(id))).toEqual(id);
        expect(formatSegmentId(id)).toBe(`${t}/${segmentName(id)}`);
        expect(parseKey(segmentKey(id))).toEqual({ kind: "segment", segment: id });
        expect(parseKey(serverKey(id))).toEqual({ kind: "server", segment: id });
        expect(parseKey(bookmarkKey(sub, id))).toEqual({ kind: "bookmark", subscription: sub, segment: id });
        expect(parseKey(bookmarkLeaseKey(sub, id))).toEqual({
          kind: "bookmark-lease",
          subscription: sub,
          segment: id,
        });
        expect(parseKey(rangeLeaseKey(id.topic, r))).toEqual({ kind: "range-lease", topic: t, range: r });
      }),
    );
  });
});
