import { randomBytes, randomInt } from "node:crypto";
import {
  buildUuid,
  Flags,
  type Framing,
  fixedProtobuf,
  formatUuid,
  jsonLines,
  jsonMessages,
  type MessageType,
  moduloMapping,
  Publisher,
  parseUuid,
  producerId,
  ReadCommitted,
  ReadUncommitted,
  rendezvousMapping,
  uuidBytes,
  writeAckIntents,
} from "@x/journal-client/messages";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  askGazettePeer,
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  gazettePeerBuild,
  goBuildTimeoutMs,
  startEtcd,
  startGazette,
} from "../src/servers/index.js";
import { expectKnownFailures } from "./journal-known-failures.js";
import {
  type AppendService,
  connect,
  isJournalError,
  isMissing,
  type JournalClient,
  journalSpec,
  type ListResponse,
} from "./journal-support.js";

interface Text {
  uuid?: string;
  text?: string;
}

/** What the Go peer prints of a message. */
interface Told {
  readonly op?: string;
  readonly journal: string;
  readonly uuid: string;
  readonly flags: number;
  readonly message: Text;
  readonly intent?: string;
}

/** The message of the peer's comment, { bytes uuid = 1; string body = 2; }, by hand: both fields are shorter than 128 bytes here. */
const protobufText = fixedProtobuf<Text>({
  encode: ({ uuid, ...rest }) => {
    const body = Buffer.from(JSON.stringify(rest));
    return Buffer.concat([
      Buffer.from([0x0a, 16]),
      uuidBytes(uuid ?? "00000000-0000-0000-0000-000000000000"),
      Buffer.from([0x12, body.length]),
      body,
    ]);
  },
  decode: (bytes) => ({
    uuid: formatUuid(bytes.subarray(2, 18)),
    ...(JSON.parse(Buffer.from(bytes.subarray(20)).toString()) as Text),
  }),
});

const kinds: Record<string, { readonly contentType: string; readonly framing: Framing<Text> }> = {
  json: { contentType: "application/x-ndjson", framing: jsonLines<Text>() },
  protobuf: { contentType: "application/x-protobuf-fixed", framing: protobufText },
};
const framings = Object.values(kinds).map(({ framing }) => framing);
const type: MessageType<Text> = jsonMessages<Text>("uuid");

/** As a broker lists these journals. */
function listingOf(names: readonly string[]): ListResponse {
  const route = { members: [], primary: -1, endpoints: [] };
  return {
    status: "OK",
    header: {
      processId: { zone: "", suffix: "" },
      route,
      etcd: { clusterId: 1n, memberId: 1n, revision: 1n, raftTerm: 1n },
    },
    journals: names.map((name) => ({
      spec: journalSpec({ name }),
      modRevision: 1n,
      createRevision: 1n,
      route,
    })),
  };
}

expectKnownFailures();

describe.skipIf(isMissing())("messages between this client and the Go client", { timeout: 120_000 }, () => {
  let etcd: EtcdServer;
  let gazette: GazetteCluster;
  let client: JournalClient;
  let service: AppendService;
  beforeAll(async () => {
    await buildGoServer(etcdBuild);
    await buildGazette();
    await buildGoServer(gazettePeerBuild);
    etcd = await startEtcd();
    gazette = await startGazette({ etcd });
  }, 3 * goBuildTimeoutMs);
  afterAll(async () => {
    await gazette?.stop();
    await etcd?.stop();
  });
  beforeEach(() => {
    client = connect(gazette);
    service = client.appendService();
  });
  afterEach(async () => {
    await service.close();
    await client.close();
  });

  /** What both sides see of some journals, as [journal, text]: committed and uncommitted. */
  async function committedHere(...journals: readonly string[]): Promise<[string, string | undefined][]> {
    return await readHere(journals, (journal) => new ReadCommitted(client, { journal }, { type, framings }));
  }

  async function allHere(...journals: readonly string[]): Promise<[string, string | undefined][]> {
    return await readHere(
      journals,
      (journal) => new ReadUncommitted(client, { journal }, { type, framings }),
    );
  }

  async function readHere(
    journals: readonly string[],
    open: (journal: string) => ReadCommitted<Text> | ReadUncommitted<Text>,
  ): Promise<[string, string | undefined][]> {
    const seen: [string, string | undefined][] = [];
    for (const journal of journals) {
      try {
        for await (const { message } of open(journal)) seen.push([journal, message.text]);
      } catch (error) {
        if (!isJournalError(error, "offset-not-yet-available")) throw error;
      }
    }
    return seen;
  }

  async function byGo(journals: readonly string[], ...flags: readonly string[]): Promise<readonly Told[]> {
    return await askGazettePeer<Told>(["read-committed", "-journal", journals.join(","), ...flags], {
      gazette,
    });
  }

  async function committedByGo(...journals: readonly string[]): Promise<[string, string | undefined][]> {
    const told = (await byGo(journals)).filter(({ flags }) => flags !== Flags.ACK_TXN);
    return told.map(({ journal, message }) => [journal, message.text]);
  }

  async function publishByGo(...steps: readonly object[]): Promise<readonly Told[]> {
    const input = steps.map((step) => `${JSON.stringify(step)}\n`).join("");
    return await askGazettePeer<Told>(["publish"], { gazette, input });
  }

  async function twoJournals(kind: string, test: string): Promise<[string, string]> {
    const labels = [{ name: "content-type", value: kinds[kind]?.contentType ?? "" }];
    const names: [string, string] = [`messages/${test}-${kind}/one`, `messages/${test}-${kind}/two`];
    await gazette.createJournals(names.map((name) => ({ name, labels })));
    return names;
  }

  const to = (kind: string, journal: string) => () => ({
    journal,
    contentType: kinds[kind]?.contentType ?? "",
  });

  describe.each(Object.keys(kinds))("as %s", (kind) => {
    it("a transaction over two journals that Go wrote is read committed here, and what it did not acknowledge is not", async () => {
      const [one, two] = await twoJournals(kind, "go");
      const told = await publishByGo(
        { op: "uncommitted", journal: one, message: { text: "first" } },
        { op: "uncommitted", journal: two, message: { text: "second" } },
        { op: "uncommitted", journal: one, message: { text: "third" } },
        { op: "ack" },
        { op: "committed", journal: two, message: { text: "alone" } },
        { op: "uncommitted", journal: one, message: { text: "never" } },
      );
      const expected = [
        [one, "first"],
        [one, "third"],
        [two, "second"],
        [two, "alone"],
      ];
      expect(await committedHere(one, two)).toEqual(expected);
      expect(await committedByGo(one, two)).toEqual(expected);
      const [, , , ack] = await allHere(one);
      expect(ack).toEqual([one, "never"]); // behind the acknowledgement, which has no text
      const uuids: (string | undefined)[] = [];
      try {
        for await (const { message } of new ReadCommitted(client, { journal: one }, { type, framings })) {
          uuids.push(message.uuid);
        }
      } catch (error) {
        expect(error).toMatchObject({ code: "offset-not-yet-available" });
      }
      expect(uuids).toEqual([told[0]?.uuid, told[2]?.uuid]);
    });

    it("a transaction over two journals that was written here is read committed by Go once it is acknowledged", async () => {
      const [one, two] = await twoJournals(kind, "here");
      const publisher = new Publisher<Text>(service, { type, framings });
      const messages = [{ text: "first" }, { text: "second" }, { text: "third" }] as Text[];
      const appends = messages.map((message, index) =>
        publisher.publishUncommitted(to(kind, index === 1 ? two : one), message),
      );
      for (const append of appends) expect(await append.err()).toBeUndefined();
      expect(await committedByGo(one, two)).toEqual([]);
      expect(await committedHere(one, two)).toEqual([]);
      expect((await byGo([one, two], "-uncommitted")).map(({ message }) => message.text)).toEqual([
        "first",
        "third",
        "second",
      ]);
      expect(await allHere(one, two)).toEqual([
        [one, "first"],
        [one, "third"],
        [two, "second"],
      ]);

      const intents = publisher.buildAckIntents();
      expect(intents.map(({ journal }) => journal)).toEqual([one, two]);
      await writeAckIntents(service, intents);
      const expected = [
        [one, "first"],
        [one, "third"],
        [two, "second"],
      ];
      expect(await committedByGo(one, two)).toEqual(expected);
      expect(await committedHere(one, two)).toEqual(expected);
      const uuids = (await byGo([one]))
        .filter(({ flags }) => flags !== Flags.ACK_TXN)
        .map(({ uuid }) => uuid);
      expect(uuids).toEqual([messages[0]?.uuid, messages[2]?.uuid]);

      // Again, as after a crash: it changes nothing.
      await writeAckIntents(service, intents);
      expect(await committedByGo(one, two)).toEqual(expected);
      expect(await committedHere(one, two)).toEqual(expected);

      const alone = publisher.publishCommitted(to(kind, two), { text: "alone" });
      expect(await alone.err()).toBeUndefined();
      expect(await committedByGo(one, two)).toEqual([...expected, [two, "alone"]]);
    });

    it("intents that Go built commit its transaction when they are written here", async () => {
      const [one, two] = await twoJournals(kind, "intents");
      const told = await publishByGo(
        { op: "uncommitted", journal: one, message: { text: "first" } },
        { op: "uncommitted", journal: two, message: { text: "second" } },
        { op: "intents" },
      );
      expect(await committedHere(one, two)).toEqual([]);
      const intents = told.flatMap(({ journal, intent }) =>
        intent === undefined ? [] : [{ journal, intent: Buffer.from(intent, "base64") }],
      );
      expect(intents).toHaveLength(2);
      await writeAckIntents(service, intents);
      const expected = [
        [one, "first"],
        [two, "second"],
      ];
      expect(await committedHere(one, two)).toEqual(expected);
      expect(await committedByGo(one, two)).toEqual(expected);
    });
  });

  it("two producers, one of each side, do not disturb each other's transactions", async () => {
    const [one] = await twoJournals("json", "mixed");
    const publisher = new Publisher<Text>(service, { type, framings });
    const first = publisher.publishUncommitted(to("json", one), { text: "ours 1" });
    expect(await first.err()).toBeUndefined();
    await publishByGo(
      { op: "uncommitted", journal: one, message: { text: "go 1" } },
      { op: "ack" },
      { op: "uncommitted", journal: one, message: { text: "go 2" } },
    );
    const second = publisher.publishUncommitted(to("json", one), { text: "ours 2" });
    expect(await second.err()).toBeUndefined();
    await writeAckIntents(service, publisher.buildAckIntents());
    const expected = [
      [one, "go 1"],
      [one, "ours 1"],
      [one, "ours 2"],
    ];
    expect(await committedHere(one)).toEqual(expected);
    expect(await committedByGo(one)).toEqual(expected);
  });

  it("keys go to the same journals as with Go's mappings", async () => {
    const keys = [
      Buffer.of(),
      Buffer.of(0),
      Buffer.of(0xff, 0xfe),
      Buffer.from("Gr\u00fc\u00dfe \u{1f600}"),
      ...Array.from({ length: 2_000 }, (_, index) => Buffer.from(`user-${index}`)),
      ...Array.from({ length: 500 }, () => randomBytes(randomInt(64))),
    ];
    const chosen = new Set<string>();
    for (const count of [1, 2, 3, 7, 16, 100]) {
      const journals = Array.from({ length: count }, (_, index) => `mapped/part-${index}`);
      const listing = listingOf(journals);
      const mappings = {
        modulo: moduloMapping(
          (key: Buffer) => key,
          () => listing,
        ),
        rendezvous: rendezvousMapping(
          (key: Buffer) => key,
          () => listing,
        ),
      };
      const here = keys.map((key) => ({
        modulo: mappings.modulo(key).journal,
        rendezvous: mappings.rendezvous(key).journal,
      }));
      for (const { modulo, rendezvous } of here) chosen.add(modulo).add(rendezvous);
      const input = Buffer.from(keys.map((key) => `${key.toString("hex")}\n`).join(""));
      const told = await askGazettePeer(["map", "-journals", journals.join(",")], { input });
      expect(told, `${count} journals`).toEqual(here);
    }
    // Not all the same one, which two broken mappings might agree on.
    expect(chosen.size).toBe(100);
  });

  it("text is a key by its UTF-8 bytes", async () => {
    const texts = ["", "a", "Gr\u00fc\u00dfe", "\u{1f600}"];
    const journals = Array.from({ length: 16 }, (_, index) => `mapped/part-${index}`);
    const mapping = rendezvousMapping(
      (key: string) => key,
      () => listingOf(journals),
    );
    const input = Buffer.from(texts.map((text) => `${Buffer.from(text).toString("hex")}\n`).join(""));
    const told = await askGazettePeer<{ rendezvous: string }>(["map", "-journals", journals.join(",")], {
      input,
    });
    expect(told.map(({ rendezvous }) => rendezvous)).toEqual(texts.map((text) => mapping(text).journal));
  });

  it("UUIDs are those of Go, bit by bit", async () => {
    const edges = [
      { clock: 0n, flags: 0 },
      { clock: (1n << 60n) - 1n, flags: 1023 },
      { clock: 1n << 59n, flags: 1 },
      { clock: 0xfn, flags: 2 },
      ...Array.from({ length: 6 }, () => ({
        clock: BigInt(`0x${randomBytes(8).toString("hex")}`) & ((1n << 60n) - 1n),
        flags: randomInt(1024),
      })),
    ];
    for (const { clock, flags } of edges) {
      const producer = producerId(randomBytes(6).toString("hex"));
      const uuid = formatUuid(buildUuid({ producer, clock, flags }));
      const made = ["uuid", "-producer", producer, "-clock", `${clock}`, "-flags", `${flags}`];
      const told = { uuid, producer, clock: `${clock}`, flags };
      expect(await askGazettePeer(made)).toMatchObject([told]);
      expect(await askGazettePeer(["uuid", "-parse", uuid])).toMatchObject([told]);
      expect(parseUuid(uuidBytes(uuid))).toEqual({ producer, clock, flags });
    }
  });
});
