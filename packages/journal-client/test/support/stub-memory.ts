/** What a stub broker does with calls that have no script: a small broker, of one process, in memory. */
import type * as wire from "../../src/gen/protocol/protocol.js";
import { stripMeta } from "../../src/protocol/journal-name.js";
import type { LabelSelector } from "../../src/protocol/label.js";
import { matchesSelector } from "../../src/protocol/label-selector.js";
import type { AppendCall, ApplyCall, FragmentsCall, HealthCall, ListCall, ReadCall } from "./stub-call.js";
import { fragmentOf } from "./stub-values.js";

const CHUNK_BYTES = 1 << 16;

/** What Go sends for a header that nobody has set. */
export const EMPTY_HEADER: wire.Header = {
  processId: { zone: "", suffix: "" },
  route: { members: [], primary: 0, endpoints: [] },
  etcd: { clusterId: 0n, memberId: 0n, revision: 0n, raftTerm: 0n },
};

export async function serveRead(call: ReadCall): Promise<void> {
  const { broker, request } = call;
  const journal = stripMeta(request.journal);
  const header = broker.header();
  const kept = broker.journals.get(journal);
  if (kept === undefined) {
    await call.send({ status: "JOURNAL_NOT_FOUND", header: broker.header({ members: [], primary: -1 }) });
    return;
  }
  let offset = request.offset < 0n ? BigInt(kept.content.length) : request.offset;
  let told = false;
  while (request.endOffset === 0n || offset < request.endOffset) {
    const writeHead = BigInt(kept.content.length);
    if (offset >= writeHead) {
      if (!request.block) {
        await call.send({
          status: "OFFSET_NOT_YET_AVAILABLE",
          offset,
          writeHead,
          ...(told ? {} : { header }),
        });
        return;
      }
      let changed = false;
      void broker.change().then(() => {
        changed = true;
        call.grpc.changed();
      });
      await call.grpc.until(() => changed);
      continue;
    }
    const fragment = fragmentOf(journal, 0n, kept.content);
    await call.send({ offset, writeHead, fragment, ...(told ? {} : { header }) });
    told = true;
    if (request.metadataOnly) return;
    const limit = request.endOffset === 0n || request.endOffset > writeHead ? writeHead : request.endOffset;
    while (offset < limit) {
      const end = Math.min(Number(offset) + CHUNK_BYTES, Number(limit));
      await call.send({ offset, content: kept.content.subarray(Number(offset), end) });
      offset = BigInt(end);
    }
  }
}

export async function serveAppend(call: AppendCall): Promise<void> {
  const { broker, request, grpc } = call;
  const journal = stripMeta(request.journal);
  const header = broker.header();
  const kept = broker.journals.get(journal);
  if (kept === undefined) {
    await call.send({ status: "JOURNAL_NOT_FOUND", header: broker.header({ members: [], primary: -1 }) });
    return;
  }
  if (request.offset !== 0n && request.offset !== BigInt(kept.content.length)) {
    await call.send({ status: "WRONG_APPEND_OFFSET", header });
    return;
  }
  await grpc.until(() => call.halfClosed);
  if (!call.committed) return grpc.finish(2, "unexpected EOF");
  const begin = BigInt(kept.content.length);
  broker.grow(journal, call.content);
  await call.send({
    header,
    commit: fragmentOf(journal, begin, call.content),
    registers: { labels: [] },
    totalChunks: BigInt(call.chunks.length),
  });
}

export async function serveList(call: ListCall): Promise<void> {
  const { broker, request } = call;
  for (;;) {
    const names = [...broker.journals.keys()].sort();
    const journals = names
      .filter((name) => isMeant(request.selector, name))
      .map((name) => listed(call, name));
    const changed = broker.change();
    await call.send({ header: broker.header(), journals });
    if (!request.watch) return;
    // Brokers leave all of it empty, its header too.
    await call.send({ header: EMPTY_HEADER });
    let again = false;
    void changed.then(() => {
      again = true;
      call.grpc.changed();
    });
    await call.grpc.until(() => again);
  }
}

function listed({ broker }: ListCall, name: string): wire.ListResponse_Journal {
  const { spec, revision } = broker.journals.get(name)!;
  return { spec, modRevision: revision, createRevision: revision, route: broker.header().route };
}

/** Journals of memory have no labels, but all have a name, which is in folders. */
function isMeant(selector: wire.LabelSelector | undefined, name: string): boolean {
  const wanted: LabelSelector = {
    include: selector?.include?.labels ?? [],
    exclude: selector?.exclude?.labels ?? [],
  };
  const folders = name.split("/").slice(0, -1);
  const prefixes = folders.map((_, index) => `${folders.slice(0, index + 1).join("/")}/`);
  return matchesSelector(wanted, [
    { name: "name", value: name },
    ...prefixes.map((value) => ({ name: "prefix", value })),
  ]);
}

export async function serveApply(call: ApplyCall): Promise<void> {
  const { broker, request } = call;
  const asExpected = request.changes.every(({ upsert, delete: name, expectModRevision }) => {
    const kept = broker.journals.get(upsert?.name ?? name);
    return expectModRevision === -1n || expectModRevision === (kept?.revision ?? 0n);
  });
  if (!asExpected) {
    await call.send({ status: "ETCD_TRANSACTION_FAILED", header: broker.header() });
    return;
  }
  broker.revision++;
  for (const { upsert, delete: name } of request.changes) {
    if (upsert === undefined) broker.journals.delete(name);
    else {
      const content = broker.journals.get(upsert.name)?.content ?? Buffer.alloc(0);
      broker.journals.set(upsert.name, { content, spec: upsert, revision: broker.revision });
    }
  }
  broker.touch();
  await call.send({ header: broker.header() });
}

export async function serveFragments(call: FragmentsCall): Promise<void> {
  const { broker, request } = call;
  const journal = stripMeta(request.journal);
  const kept = broker.journals.get(journal);
  if (kept === undefined) {
    await call.send({ status: "JOURNAL_NOT_FOUND", header: broker.header({ members: [], primary: -1 }) });
    return;
  }
  const spec = fragmentOf(journal, 0n, kept.content);
  await call.send({
    header: broker.header(),
    fragments: kept.content.length === 0 ? [] : [{ spec, signedUrl: "" }],
  });
}

export async function serveHealth(call: HealthCall): Promise<void> {
  await call.send({ header: call.broker.header() });
}
