/** Requests to the bytes of the wire. Each checks first, so that nothing wrong is sent: JournalError "invalid-argument". */
import * as wire from "../gen/protocol/protocol.js";
import {
  checkAppendRequest,
  checkApplyRequest,
  checkFragmentStore,
  checkFragmentsRequest,
  checkListRequest,
  checkReadRequest,
  listSelector,
} from "../protocol/request-rules.js";
import type {
  AppendRequest,
  ApplyRequest,
  FragmentsRequest,
  ListRequest,
  ReadRequest,
} from "../protocol/requests.js";
import { asBuffer } from "./bytes.js";
import { suspendToWire } from "./enums.js";
import { durationToWire, headerToWire, labelsToWire, selectorToWire, specToWire } from "./values.js";

const NO_CONTENT = Buffer.alloc(0);
/** Field 2 of an AppendRequest, length-delimited. */
const JOURNAL_TAG = (2 << 3) | 2;

export function encodeReadRequest(request: ReadRequest): Buffer {
  checkReadRequest(request);
  const { journal, offset = 0n, block = false, doNotProxy = false, metadataOnly = false, header } = request;
  const { endOffset = 0n, beginModTime = 0n } = request;
  return asBuffer(
    wire.ReadRequest.encode({
      header: header && headerToWire(header),
      journal,
      offset,
      block,
      doNotProxy,
      metadataOnly,
      endOffset,
      beginModTime,
    }).finish(),
  );
}

/** The first message of an Append: all but content. */
export function encodeAppendRequest(request: AppendRequest): Buffer {
  checkAppendRequest(request);
  const { journal, offset = 0n, doNotProxy = false, suspend = "SUSPEND_RESUME", header } = request;
  const { checkRegisters, unionRegisters, subtractRegisters } = request;
  const registers = checkRegisters ?? unionRegisters ?? subtractRegisters;
  if (header === undefined && registers === undefined && offset === 0n && !doNotProxy) {
    if (suspend === "SUSPEND_RESUME") return encodeJournal(journal);
  }
  return asBuffer(
    wire.AppendRequest.encode({
      header: header && headerToWire(header),
      journal,
      doNotProxy,
      content: NO_CONTENT,
      offset,
      checkRegisters: checkRegisters && selectorToWire(checkRegisters),
      unionRegisters: unionRegisters && labelsToWire(unionRegisters),
      subtractRegisters: subtractRegisters && labelsToWire(subtractRegisters),
      suspend: suspendToWire(suspend),
    }).finish(),
  );
}

/** An AppendRequest of nothing but its journal, which most are. */
function encodeJournal(journal: string): Buffer {
  const length = Buffer.byteLength(journal);
  // Names that were checked have at most 1,025 bytes: two of a varint.
  const prefix = length < 0x80 ? 2 : 3;
  const message = Buffer.allocUnsafe(prefix + length);
  message[0] = JOURNAL_TAG;
  message[1] = prefix === 2 ? length : (length & 0x7f) | 0x80;
  if (prefix === 3) message[2] = length >>> 7;
  message.write(journal, prefix);
  return message;
}

export function encodeListRequest(request: ListRequest): Buffer {
  checkListRequest(request);
  const { watch = false, watchResume } = request;
  return asBuffer(
    wire.ListRequest.encode({
      selector: selectorToWire(listSelector(request)),
      watch,
      watchResume: watchResume && headerToWire(watchResume),
    }).finish(),
  );
}

export function encodeApplyRequest(request: ApplyRequest): Buffer {
  checkApplyRequest(request);
  const changes = request.changes.map((change) => ({
    expectModRevision: change.expectModRevision,
    upsert: change.upsert && specToWire(change.upsert),
    delete: change.delete ?? "",
  }));
  return asBuffer(wire.ApplyRequest.encode({ changes }).finish());
}

export function encodeFragmentsRequest(request: FragmentsRequest): Buffer {
  checkFragmentsRequest(request);
  const { journal, beginModTime = 0n, endModTime = 0n, nextPageToken = 0n, pageLimit = 0, header } = request;
  const { signatureTtlMs, doNotProxy = false } = request;
  return asBuffer(
    wire.FragmentsRequest.encode({
      header: header && headerToWire(header),
      journal,
      beginModTime,
      endModTime,
      nextPageToken,
      pageLimit,
      signatureTTL: signatureTtlMs === undefined ? undefined : durationToWire(signatureTtlMs),
      doNotProxy,
    }).finish(),
  );
}

export function encodeFragmentStoreHealthRequest(fragmentStore: string): Buffer {
  checkFragmentStore(fragmentStore);
  return asBuffer(wire.FragmentStoreHealthRequest.encode({ fragmentStore }).finish());
}
