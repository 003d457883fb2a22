import { describe, expectTypeOf, it } from "vitest";
import type {
  AsyncAppend,
  AsyncJournalClient,
  AsyncOperation,
  FragmentReader,
  JournalError,
  JournalErrorCode,
  OpFuture,
  OpFutures,
  Reader,
  RetryReader,
  RouteCache,
  WatchedList,
} from "../src/index.js";
import { AppendService, JournalClient, type RoutedJournalClient } from "../src/index.js";

describe("the types of Gazette's Go client", () => {
  it("have their members", () => {
    expectTypeOf<AsyncAppend>().toHaveProperty("request");
    expectTypeOf<AsyncAppend>().toHaveProperty("writer");
    expectTypeOf<AsyncAppend>().toHaveProperty("require");
    expectTypeOf<AsyncAppend>().toHaveProperty("release");
    expectTypeOf<AsyncAppend>().toHaveProperty("done");
    expectTypeOf<AsyncAppend>().toHaveProperty("err");
    expectTypeOf<AsyncAppend>().toHaveProperty("response");
    expectTypeOf<AsyncAppend>().toExtend<OpFuture>();
    expectTypeOf<AsyncJournalClient>().toHaveProperty("startAppend");
    expectTypeOf<AsyncJournalClient>().toHaveProperty("pendingExcept");
    expectTypeOf<AsyncJournalClient>().toExtend<RoutedJournalClient>();
    expectTypeOf<AsyncOperation>().toHaveProperty("resolve");
    expectTypeOf<AsyncOperation>().toExtend<OpFuture>();
    expectTypeOf<OpFutures>().toHaveProperty("isSubsetOf");
    expectTypeOf<Reader>().toHaveProperty("request");
    expectTypeOf<Reader>().toHaveProperty("response");
    expectTypeOf<Reader>().toHaveProperty("seek");
    expectTypeOf<Reader>().toHaveProperty("adjustedOffset");
    expectTypeOf<RetryReader>().toHaveProperty("journal");
    expectTypeOf<RetryReader>().toHaveProperty("offset");
    expectTypeOf<RetryReader>().toHaveProperty("seek");
    expectTypeOf<RetryReader>().toHaveProperty("adjustedOffset");
    expectTypeOf<RetryReader>().toHaveProperty("adjustedSeek");
    expectTypeOf<RetryReader>().toHaveProperty("restart");
    expectTypeOf<RetryReader>().toHaveProperty("cancel");
    expectTypeOf<RetryReader>().toHaveProperty("reader");
    expectTypeOf<FragmentReader>().toHaveProperty("fragment");
    expectTypeOf<FragmentReader>().toHaveProperty("offset");
    expectTypeOf<FragmentReader>().toHaveProperty("read");
    expectTypeOf<FragmentReader>().toHaveProperty("close");
    expectTypeOf<RouteCache>().toHaveProperty("route");
    expectTypeOf<RouteCache>().toHaveProperty("updateRoute");
    expectTypeOf<RouteCache>().toHaveProperty("isNoopRouter");
    expectTypeOf<WatchedList>().toHaveProperty("list");
    expectTypeOf<WatchedList>().toHaveProperty("updates");
  });

  it("are what the functions take", () => {
    expectTypeOf(JournalClient.prototype).toExtend<RoutedJournalClient>();
    expectTypeOf(AppendService.prototype).toExtend<AsyncJournalClient>();
  });

  it("have a code for every way to fail", () => {
    expectTypeOf<JournalError["code"]>().toEqualTypeOf<JournalErrorCode>();
    type Named =
      | "insufficient-journal-brokers"
      | "journal-not-found"
      | "not-journal-broker"
      | "not-journal-primary-broker"
      | "no-journal-primary-broker"
      | "offset-not-yet-available"
      | "register-mismatch"
      | "wrong-append-offset"
      | "index-has-greater-offset"
      | "suspended"
      | "fragment-store-unhealthy"
      | "not-allowed"
      | "offset-jump"
      | "seek-requires-new-reader"
      | "did-not-read-expected-eof"
      | "unexpected-eof";
    expectTypeOf<Named>().toExtend<JournalErrorCode>();
  });
});
