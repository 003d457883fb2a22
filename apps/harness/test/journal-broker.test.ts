import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  askGazettePeer,
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  gazettePeerBuild,
  goBuildTimeoutMs,
  runGazettePeer,
  startEtcd,
  startGazette,
} from "../src/servers/index.js";
import { expectKnownFailures } from "./journal-known-failures.js";
import {
  type AppendRequest,
  connect,
  formatLabelSelector,
  isMissing,
  type JournalClient,
  journalSpec,
  type ListResponse,
  labelSet,
  matchesSelector,
  PartialApplyError,
  parseLabelSelector,
  persisted,
  readByGo,
  readToHead,
} from "./journal-support.js";

const names = ({ journals }: ListResponse): string[] => journals.map(({ spec }) => spec.name);
const bytes = (text: string): Buffer => Buffer.from(text);

expectKnownFailures();

describe.skipIf(isMissing())("what a real broker says", { timeout: 120_000 }, () => {
  let etcd: EtcdServer;
  let gazette: GazetteCluster;
  let client: JournalClient;
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
  });
  afterEach(() => client.close());

  const append = (request: AppendRequest, content: string) =>
    client.append(request, { content: bytes(content) });

  describe("of selectors", () => {
    const journals = [
      {
        name: "selected/a",
        labels: [
          { name: "env", value: "test" },
          { name: "region", value: "eu" },
        ],
      },
      {
        name: "selected/b",
        labels: [
          { name: "env", value: "live" },
          { name: "region", value: "eu" },
          { name: "region", value: "us" },
        ],
      },
      {
        name: "selected/c/d",
        labels: [
          { name: "env", value: "live-2" },
          { name: "flag", value: "" },
        ],
      },
      { name: "selected/e", labels: [] },
    ];
    const labelsOf = (name: string) =>
      labelSet({
        name,
        prefix: [...name].flatMap((char, at) => (char === "/" ? [name.slice(0, at + 1)] : [])),
        ...Object.fromEntries(
          [
            ...new Set(
              (journals.find((each) => each.name === name)?.labels ?? []).map((label) => label.name),
            ),
          ].map((label) => [
            label,
            (journals.find((each) => each.name === name)?.labels ?? [])
              .filter((each) => each.name === label)
              .map(({ value }) => value),
          ]),
        ),
      });
    beforeAll(() => gazette.createJournals(journals));

    it.each([
      "prefix = selected/, env = test",
      "prefix = selected/, env==live",
      "prefix=selected/,env in (test, live)",
      "prefix=selected/,env notin (test,live)",
      "prefix=selected/,env not in (test)",
      "prefix=selected/,env != live",
      "prefix=selected/,flag",
      "prefix=selected/,!env",
      "prefix=selected/,region=us,env",
      "prefix=selected/,region in (us, eu), !flag",
      "prefix=selected/,env:prefix=live",
      "prefix=selected/,env:prefix != live",
      "name in (selected/a, selected/e)",
      "name:prefix = selected/c",
      "prefix=selected/c/",
      "name=selected/none",
      "prefix=selected/,env=a=b,",
    ])("%s means the same journals here, to Go and to the broker", async (text) => {
      const found = names(await client.listAllJournals({ selector: text }));
      const byGo = await askGazettePeer<{ name: string }>(["list", "-selector", text], { gazette });
      expect(byGo.map(({ name }) => name)).toEqual(found);
      // What we print, Go reads as the same.
      const parsed = parseLabelSelector(text);
      const printed = formatLabelSelector(parsed);
      const again = await askGazettePeer<{ name: string }>(["list", "-selector", printed], { gazette });
      expect(again.map(({ name }) => name)).toEqual(found);
      expect(parseLabelSelector(printed)).toEqual(parsed);
      // And what we would have chosen ourselves.
      const chosen = journals
        .map(({ name }) => name)
        .filter((name) => matchesSelector(parsed, labelsOf(name)));
      expect(chosen).toEqual(found);
    });

    it.each(["a b c", "=value", "env in test", "env in (a", "env=a b", "env = ü!", "(a)"])(
      "%s is refused here and by Go",
      async (text) => {
        expect(() => parseLabelSelector(text)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
        await expect(client.listAllJournals({ selector: text })).rejects.toMatchObject({
          code: "invalid-argument",
        });
        await expect(runGazettePeer(["list", "-selector", text], { gazette })).rejects.toThrow(
          /ended with 1/,
        );
      },
    );

    it("a journal's labels, revisions and route are those that Go sees", async () => {
      const selector = "name=selected/b";
      const [listed] = (await client.listAllJournals({ selector })).journals;
      const [byGo] = await askGazettePeer(["list", "-selector", selector], { gazette });
      expect(byGo).toMatchObject({
        name: listed?.spec.name,
        modRevision: Number(listed?.modRevision),
        createRevision: Number(listed?.createRevision),
        labels: { env: ["live"], region: ["eu", "us"] },
        endpoints: listed?.route.endpoints,
      });
      expect(listed?.spec.labels).toEqual(labelSet({ env: "live", region: ["eu", "us"] }));
      expect(client.route("selected/b")).toEqual(listed?.route);
    });
  });

  describe("of registers", () => {
    const registers = async (journal: string) => (await client.append({ journal }, {})).registers;

    it("they are checked, added to and taken from, here and in Go", async () => {
      const journal = "registers/both";
      await gazette.createJournal(journal);
      const checkRegisters = parseLabelSelector("owner=one");
      // Without registers everything matches.
      const first = await append(
        { journal, checkRegisters, unionRegisters: labelSet({ owner: "one" }) },
        "a",
      );
      expect(first.registers).toEqual(labelSet({ owner: "one" }));
      await append({ journal, checkRegisters }, "b");
      const go = ["append", "-journal", journal];
      const handed = [...go, "-check", "owner=one", "-union", "owner=two", "-subtract", "owner=one"];
      expect(await askGazettePeer(handed, { gazette, input: "c" })).toMatchObject([
        { registers: { owner: ["two"] } },
      ]);
      await expect(append({ journal, checkRegisters }, "refused")).rejects.toMatchObject({
        code: "register-mismatch",
        message: expect.stringContaining("owner=two"),
      });
      await append(
        {
          journal,
          checkRegisters: parseLabelSelector("owner=two"),
          unionRegisters: labelSet({ owner: "three", more: "" }),
          subtractRegisters: labelSet({ owner: "two" }),
        },
        "d",
      );
      expect(await registers(journal)).toEqual(labelSet({ more: "", owner: "three" }));
      const refused = runGazettePeer([...go, "-check", "owner=two"], { gazette, input: "refused" });
      await expect(refused).rejects.toThrow(/REGISTER_MISMATCH/);
      await append({ journal, subtractRegisters: labelSet({ owner: "three", more: "" }) }, "e");
      expect(await registers(journal)).toEqual([]);
      await append({ journal, checkRegisters: parseLabelSelector("whatever=x") }, "f");
      expect((await readByGo(gazette, journal)).toString()).toBe("abcdef");
    });

    it("a mismatch surfaces at once, and makes an AppendService useless for that journal alone", async () => {
      await gazette.createJournals(["registers/fenced", "registers/other"]);
      const journal = "registers/fenced";
      await append({ journal, unionRegisters: labelSet({ owner: "somebody" }) }, "a");
      const onEvent = vi.fn();
      await using service = client.appendService({ onEvent });
      const fenced = service.startAppend({ journal, checkRegisters: parseLabelSelector("owner=me") });
      fenced.writer.write("never");
      fenced.release();
      expect(await fenced.err()).toMatchObject({ code: "register-mismatch" });
      const behind = service.startAppend({ journal });
      behind.writer.write("never either");
      behind.release();
      expect(await behind.err()).toBeInstanceOf(Error);
      const other = service.startAppend({ journal: "registers/other" });
      other.writer.write("fine");
      other.release();
      expect(await other.err()).toBeUndefined();
      expect(onEvent).not.toHaveBeenCalled();
      expect((await readByGo(gazette, journal)).toString()).toBe("a");
    });
  });

  describe("of appends that it refuses", () => {
    it("an append at another offset than the write head is refused, and nothing of it written", async () => {
      const journal = "refused/offset";
      await gazette.createJournal(journal);
      expect(await append({ journal }, "12345")).toMatchObject({ commit: { begin: 0n, end: 5n } });
      for (const offset of [1n, 4n, 6n]) {
        await expect(append({ journal, offset }, "x")).rejects.toMatchObject({
          code: "wrong-append-offset",
          journal,
        });
      }
      expect(await append({ journal, offset: 5n }, "6")).toMatchObject({ commit: { begin: 5n, end: 6n } });
      expect((await readByGo(gazette, journal)).toString()).toBe("123456");
    });

    it("a journal that is only read takes no appends, and one that is only written gives nothing", async () => {
      await gazette.createJournals([
        { name: "refused/rdonly", flags: "O_RDONLY" },
        { name: "refused/wronly", flags: "O_WRONLY" },
      ]);
      await expect(append({ journal: "refused/rdonly" }, "x")).rejects.toMatchObject({ code: "not-allowed" });
      await append({ journal: "refused/wronly" }, "x");
      const retries: unknown[] = [];
      const read = client.retryReader(
        { journal: "refused/wronly" },
        { onRetry: ({ error }) => retries.push(error) },
      );
      await expect(read.read()).rejects.toMatchObject({ code: "not-allowed" });
      expect(retries).toHaveLength(3);
      await expect(client.reader({ journal: "refused/wronly" }).read()).rejects.toMatchObject({
        code: "not-allowed",
      });
    });

    it("a journal that is not there is not found, by each way to it", async () => {
      const journal = "refused/nowhere";
      const notFound = { code: "journal-not-found", journal };
      await expect(append({ journal }, "x")).rejects.toMatchObject(notFound);
      await expect(client.reader({ journal }).read()).rejects.toMatchObject(notFound);
      await expect(client.getJournal(journal)).rejects.toMatchObject(notFound);
      await expect(client.listAllFragments({ journal })).rejects.toMatchObject(notFound);
    });

    it("a reader is told when it asks for what is not there yet, and can ask again", async () => {
      const journal = "refused/not-yet";
      await gazette.createJournal(journal);
      await append({ journal }, "12345");
      const reader = client.retryReader({ journal, offset: 5n });
      await expect(reader.read()).rejects.toMatchObject({ code: "offset-not-yet-available" });
      await expect(reader.read()).rejects.toMatchObject({ code: "offset-not-yet-available" });
      await append({ journal }, "6");
      expect(Buffer.from((await reader.read()) ?? []).toString()).toBe("6");
      await reader.close();
    });

    it("an aborted append leaves nothing, and its journal goes on", async () => {
      const journal = "refused/aborted";
      await gazette.createJournal(journal);
      await append({ journal }, "a");
      const appender = client.appender({ journal });
      await appender.write(randomBytes(2_000_000));
      await appender.abort();
      const stop = new AbortController();
      const signalled = client.appender({ journal }, { signal: stop.signal });
      await signalled.write(randomBytes(2_000_000));
      stop.abort(new Error("enough"));
      await expect(signalled.commit()).rejects.toThrow("enough");
      const source = {
        read: async function* () {
          yield bytes("part");
          throw new Error("the source broke");
        },
      };
      await expect(client.append({ journal }, { content: source })).rejects.toThrow("the source broke");
      await append({ journal }, "b");
      expect((await readByGo(gazette, journal)).toString()).toBe("ab");
    });
  });

  describe("of suspension", () => {
    const level = async (journal: string) => (await client.getJournal(journal)).suspend?.level;

    it("an empty journal is suspended fully, told so, and resumed by the next append", async () => {
      const journal = "suspended/empty";
      await gazette.createJournal(journal);
      await expect(client.append({ journal, suspend: "SUSPEND_IF_FLUSHED" }, {})).rejects.toMatchObject({
        code: "suspended",
      });
      expect(await level(journal)).toBe("FULL");
      await expect(append({ journal, suspend: "SUSPEND_NO_RESUME" }, "x")).rejects.toMatchObject({
        code: "suspended",
      });
      await vi.waitFor(async () => {
        await expect(readToHead(client, journal)).rejects.toMatchObject({ code: "suspended" });
      }, 20_000);
      await append({ journal }, "a");
      expect(await level(journal)).toBe("NONE");
      expect((await readByGo(gazette, journal)).toString()).toBe("a");
    });

    it("one with content keeps being read, and goes on where it was", async () => {
      const journal = "suspended/content";
      await gazette.createJournal({ name: journal, ...persisted });
      const content = randomBytes(5_000);
      await client.append({ journal }, { content });
      await expect(client.append({ journal, suspend: "SUSPEND_NOW" }, {})).rejects.toMatchObject({
        code: "suspended",
      });
      expect(await client.getJournal(journal)).toMatchObject({
        suspend: { level: "PARTIAL", offset: 5_000n },
      });
      expect((await readToHead(client, journal)).content).toEqual(content);
      // Whoever changes the journal passes its suspension on, and does not wake it.
      const [listed] = (await client.listAllJournals({ selector: `name=${journal}` })).journals;
      if (listed === undefined) throw new Error("it is not listed");
      const upsert = { ...listed.spec, labels: labelSet({ changed: "yes" }) };
      await client.applyJournals({ changes: [{ expectModRevision: listed.modRevision, upsert }] });
      expect(await level(journal)).toBe("PARTIAL");
      expect(await append({ journal }, "more")).toMatchObject({ commit: { begin: 5_000n, end: 5_004n } });
      expect(await level(journal)).toBe("NONE");
      const whole = Buffer.concat([content, bytes("more")]);
      expect(await readByGo(gazette, journal)).toEqual(whole);
      expect((await readToHead(client, journal)).content).toEqual(whole);
    });
  });

  describe("of listings", () => {
    const spec = (name: string) => journalSpec({ name, replication: 1, fragment: { stores: ["file:///"] } });
    const create = (...created: readonly string[]) =>
      client.applyJournals({
        changes: created.map((name) => ({ expectModRevision: 0n, upsert: spec(name) })),
      });

    it("journals are created, changed and deleted, each at the revision that was seen", async () => {
      const [one, two] = ["applied/one", "applied/two"] as const;
      await create(one, two);
      const listed = async (name: string) =>
        (await client.listAllJournals({ selector: `name=${name}` })).journals[0];
      const before = await listed(one);
      expect(before?.spec).toEqual(spec(one));
      const upsert = { ...spec(one), labels: labelSet({ new: "label" }), maxAppendRate: 1_000_000n };
      const change = { expectModRevision: before?.modRevision ?? 0n, upsert };
      await client.applyJournals({ changes: [change] });
      expect(await client.getJournal(one)).toEqual(upsert);
      const failed = { code: "etcd-transaction-failed" };
      await expect(client.applyJournals({ changes: [change] })).rejects.toMatchObject(failed);
      await expect(create(one)).rejects.toMatchObject(failed);
      // All or nothing.
      const both = client.applyJournals({
        changes: [
          { expectModRevision: -1n, delete: two },
          { expectModRevision: 1n, delete: one },
        ],
      });
      await expect(both).rejects.toMatchObject(failed);
      expect(names(await client.listAllJournals({ selector: "prefix=applied/" }))).toEqual([one, two]);
      await client.applyJournals({
        changes: [
          { expectModRevision: (await listed(one))?.modRevision ?? 0n, delete: one },
          { expectModRevision: -1n, delete: two },
        ],
      });
      expect(await listed(one)).toBeUndefined();
    });

    it("many changes go in batches, and one that fails tells how many were applied", async () => {
      const many = Array.from({ length: 25 }, (_, index) => `batch/${String(index).padStart(2, "0")}`);
      const changes = many.map((name) => ({ expectModRevision: 0n, upsert: spec(name) }));
      const applied: number[] = [];
      await client.applyJournalsInBatches(
        { changes },
        { size: 10, onApplied: (count) => applied.push(count) },
      );
      expect(applied).toEqual([10, 20, 25]);
      expect(names(await client.listAllJournals({ selector: "prefix=batch/" }))).toEqual(many);
      const deletions = many.map((name, index) => ({
        expectModRevision: index === 17 ? 1n : -1n,
        delete: name,
      }));
      const failed = await client
        .applyJournalsInBatches({ changes: deletions }, { size: 10 })
        .catch((error) => error);
      expect(failed).toBeInstanceOf(PartialApplyError);
      expect(failed).toMatchObject({ code: "etcd-transaction-failed", applied: 10, failed: 10 });
      expect(names(await client.listAllJournals({ selector: "prefix=batch/" }))).toEqual(many.slice(10));
    });

    it("a watched list tells what comes and goes", async () => {
      await using list = client.watchList({ selector: "prefix=watched/" });
      const until = async (expected: readonly string[]): Promise<void> => {
        for await (const listing of list) if (names(listing).join() === expected.join()) return;
      };
      await until([]);
      await create("watched/one");
      await until(["watched/one"]);
      await gazette.createJournal("watched/two"); // by another client
      await until(["watched/one", "watched/two"]);
      await client.applyJournals({ changes: [{ expectModRevision: -1n, delete: "watched/one" }] });
      await until(["watched/two"]);
      expect(names(list.list() as ListResponse)).toEqual(["watched/two"]);
    });

    it("what a broker keeps of a large listing comes whole, in order", async () => {
      const many = Array.from({ length: 300 }, (_, index) => `large/${String(index).padStart(4, "0")}`);
      const changes = many.map((name) => ({
        expectModRevision: 0n,
        upsert: journalSpec({ ...spec(name), labels: { filler: "x".repeat(1_000) } }),
      }));
      await client.applyJournalsInBatches({ changes }, { size: 100 });
      expect(names(await client.listAllJournals({ selector: "prefix=large/" }))).toEqual(many);
      const deletions = many.map((name) => ({ expectModRevision: -1n, delete: name }));
      await client.applyJournalsInBatches({ changes: deletions }, { size: 100 });
      expect(names(await client.listAllJournals({ selector: "prefix=large/" }))).toEqual([]);
    });
  });

  describe("of fragments and stores", () => {
    it("fragments are listed page by page, and joined as gazctl lists them", async () => {
      const journal = "fragments/paged";
      await gazette.createJournal({ name: journal, codec: "GZIP", ...persisted });
      for (let index = 0; index < 6; index++)
        await client.append({ journal }, { content: randomBytes(2_000) });
      await vi.waitFor(async () => {
        const { fragments } = await client.listAllFragments({
          journal,
          pageLimit: 2,
          signatureTtlMs: 60_000,
        });
        expect(fragments.map(({ spec }) => [spec.begin, spec.end])).toEqual(
          [0n, 1n, 2n, 3n, 4n, 5n].map((index) => [2_000n * index, 2_000n * (index + 1n)]),
        );
        expect(fragments.filter(({ signedUrl }) => signedUrl !== "")).toHaveLength(5);
      }, 30_000);
      const page = await client.listFragments({ journal, pageLimit: 2 });
      expect(page.fragments).toHaveLength(2);
      expect(page.nextPageToken).toBe(4_000n);
      const { fragments } = await client.listAllFragments({ journal, signatureTtlMs: 60_000 });
      const told = await gazette.gazctl([
        ...["journals", "fragments", "-l", `name=${journal}`, "--format", "json", "--url-ttl", "1m"],
      ]);
      const text = told.stdout.toString();
      for (const { spec, signedUrl } of fragments) {
        if (signedUrl === "") continue;
        expect(text).toContain(signedUrl);
        const reader = await client
          .openFragmentUrl({ fragment: spec, offset: spec.begin, url: signedUrl })
          .catch((error) => error);
        expect(reader).toMatchObject({ code: "url-refused" }); // nobody allowed files
      }
      const newest = Math.max(...fragments.map(({ spec }) => Number(spec.modTime)));
      expect(newest).toBeGreaterThan(1_600_000_000);
      const later = await client.listAllFragments({ journal, beginModTime: BigInt(newest + 10) });
      expect(later.fragments.filter(({ spec }) => spec.backingStore !== "")).toEqual([]);
    });

    it("a read of what was written since a time leaves out the fragments that were stored before it", async () => {
      const journal = "fragments/since";
      await gazette.createJournal({ name: journal, ...persisted });
      const parts = [0, 1, 2].map(() => randomBytes(2_000));
      for (const content of parts) await client.append({ journal }, { content });
      const stored = await vi.waitFor(async () => {
        const { fragments } = await client.listAllFragments({ journal });
        const times = fragments.map(({ spec }) => spec.modTime).filter((time) => time !== 0n);
        expect(times).toHaveLength(2);
        return times;
      }, 30_000);
      const since = (beginModTime: bigint) => readToHead(client, { journal, beginModTime });
      const all = await since(stored[0] ?? 0n);
      expect([all.content.equals(Buffer.concat(parts)), all.jumps]).toEqual([true, []]);
      const later = await since((stored[1] ?? 0n) + 1n);
      expect([later.content.equals(parts[2]!), later.jumps]).toEqual([true, [[0n, 4_000n]]]);
      // Behind the end that was asked for there is only the end.
      const none = await readToHead(client, { journal, endOffset: 3_000n, beginModTime: stored[1]! + 1n });
      expect([none.content.length, none.jumps]).toEqual([0, [[0n, 4_000n]]]);
    });

    it("a store that works is healthy, and one that does not says why", async () => {
      const bad = "file:///missing/folder/";
      await gazette.createJournal("fragments/healthy");
      const upsert = journalSpec({
        name: "fragments/unhealthy",
        replication: 1,
        fragment: { stores: [bad] },
      });
      await client.applyJournals({ changes: [{ expectModRevision: 0n, upsert }] });
      await gazette.waitForAssignment(["fragments/unhealthy"]);
      expect(await client.checkFragmentStore("file:///")).toMatchObject({
        status: "OK",
        storeHealthError: "",
      });
      expect(await client.checkFragmentStore(bad)).toMatchObject({
        status: "FRAGMENT_STORE_UNHEALTHY",
        storeHealthError: expect.stringContaining("missing/folder"),
      });
    });

    it("an append is refused when its journal's store cannot be used, and says why", async () => {
      // Brokers give a store that is away two minutes to come back. One that cannot be set up is unhealthy at once.
      const journal = "fragments/refused";
      const upsert = journalSpec({
        name: journal,
        replication: 1,
        fragment: { stores: ["file:///?nonsense=1"] },
      });
      await client.applyJournals({ changes: [{ expectModRevision: 0n, upsert }] });
      await gazette.waitForAssignment([journal]);
      const refusal = {
        code: "fragment-store-unhealthy",
        journal,
        message: expect.stringContaining("nonsense"),
      };
      await expect(append({ journal }, "refused")).rejects.toMatchObject(refusal);
      const appender = client.appender({ journal });
      await expect(
        (async () => {
          await appender.write(bytes("refused"));
          await appender.commit();
        })(),
      ).rejects.toMatchObject(refusal);
      expect(appender.response).toMatchObject({
        status: "FRAGMENT_STORE_UNHEALTHY",
        storeHealthError: expect.stringContaining("nonsense"),
      });
    });
  });
});
