import { describe, it } from "vitest";
import { addBlobService } from "../src/grpc.js";
import { blobStoreCases } from "../src/testing.js";
import { directoryBehindGrpc, listen, memoryBehindGrpc, onlyBs } from "./grpc-support.js";
import { itIsAStore } from "./support/compliance.js";

const timeoutMs = 60_000;

describe("grpcStore over a memory store", () => {
  itIsAStore(memoryBehindGrpc());
});

describe("grpcStore over a directory store", () => {
  itIsAStore(directoryBehindGrpc(), { damage: true });
});

describe("grpcStore and a server that speaks only bobg/bs's wire", () => {
  const underTest = memoryBehindGrpc({}, (store) =>
    listen((server) => addBlobService(onlyBs(server), store), {
      "grpc.max_receive_message_length": 65 * 1024 * 1024,
    }),
  );
  // Such a server cannot delete: its store, as a whole, has no such method.
  for (const { name, run } of blobStoreCases) {
    it(
      name,
      () =>
        run({
          ...underTest,
          async open() {
            const fixture = await underTest.open();
            return { ...fixture, store: Object.assign(fixture.store, { delete: undefined }) };
          },
        }),
      timeoutMs,
    );
  }
});
