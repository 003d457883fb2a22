import { describe, expect, it } from "vitest";
import * as wire from "../src/gen/protocol/protocol.js";
import { answer } from "../src/protocol/refusal.js";
import type { Status } from "../src/protocol/responses.js";
import { decodeApplyResponse } from "../src/wire/responses.js";
import { journalMethods } from "../src/wire/service.js";
import { statusError } from "../src/wire/status-error.js";
import { durationFromWire, durationToWire } from "../src/wire/values.js";
import { expectRefusal } from "./support/refusals.js";

const STATUSES = (Object.keys(wire.Status) as (Status | "UNRECOGNIZED")[]).filter(
  (status) => status !== "UNRECOGNIZED",
);

const header: wire.Header = {
  processId: { zone: "zone", suffix: "name" },
  route: { members: [], primary: -1, endpoints: [] },
  etcd: { clusterId: 1n, memberId: 1n, revision: 1n, raftTerm: 1n },
};

describe("a status", () => {
  it.each(STATUSES)("%s has its name on the wire", (status) => {
    const message = wire.ApplyResponse.encode({ status: wire.Status[status], header }).finish();
    expect(decodeApplyResponse(message).status).toBe(status);
  });

  it.each(STATUSES.filter((status) => status !== "OK"))(
    "%s is an error with its name for a code",
    (status) => {
      const error = statusError(status, { journal: "a/journal", detail: "as told" });
      expect(error.code).toBe(status.toLowerCase().replaceAll("_", "-"));
      expect(error.journal).toBe("a/journal");
      expect(error.message).toMatch(
        new RegExp(`^The broker answered ${status} for a/journal: .+ \\(as told\\)\\.$`),
      );
      expect(statusError(status, {}).journal).toBe(undefined);
    },
  );

  it("that is not known is named by its number", () => {
    const message = wire.ApplyResponse.encode({ status: 16 as never, header }).finish();
    expectRefusal(
      "invalid-response",
      "ApplyResponse.status is 16: this number has no meaning in the protocol",
      () => decodeApplyResponse(message),
    );
  });
});

describe("the methods of the service", () => {
  it("are the generated ones, for bytes", () => {
    for (const [name, method] of Object.entries(journalMethods)) {
      const { path, requestStream, responseStream } =
        wire.JournalService[name as keyof typeof wire.JournalService];
      expect(method).toMatchObject({ path, requestStream, responseStream });
      const bytes = Buffer.from("foo");
      const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = method;
      for (const pass of [requestSerialize, requestDeserialize, responseSerialize, responseDeserialize]) {
        expect(pass(bytes)).toBe(bytes);
      }
    }
    expect(Object.keys(journalMethods).sort()).toEqual(Object.keys(wire.JournalService).sort());
  });
});

describe("a duration", () => {
  const read = (seconds: bigint, nanos: number): number =>
    durationFromWire(answer("duration"), { seconds, nanos });

  it("is whole milliseconds, also below 0", () => {
    expect(durationFromWire(answer("duration"), undefined)).toBe(0);
    expect(read(90n, 1_999_999)).toBe(90_001);
    expect(read(-1n, -500_000_000)).toBe(-1500);
    for (const ms of [0, 1, 999, 1000, 1001, -1, -1500, 9_223_372_036_854]) {
      const { seconds, nanos } = durationToWire(ms);
      expect(read(seconds, nanos)).toBe(ms);
    }
  });

  it("is refused when Go could not hold it", () => {
    expectRefusal("invalid-response", "it must be within 292 years", () => read(9_223_372_037n, 0));
    expectRefusal("invalid-response", "it must be within 292 years", () => read(-(2n ** 63n), 0));
    expectRefusal("invalid-response", "less than a second", () => read(0n, 1_000_000_000));
  });
});
