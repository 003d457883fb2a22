import { BlobError } from "../errors.js";

/** Where a page of a listing begins: behind a token of the server's, behind a key, or at the first key. */
export interface PagePosition {
  readonly token?: string;
  readonly startAfter?: string;
}

/** As much of an answer as tells whether there is more, and whether it is one. */
export interface ListedPage {
  readonly Contents?: readonly { readonly Key?: string | undefined }[] | undefined;
  readonly IsTruncated?: boolean | undefined;
  readonly NextContinuationToken?: string | undefined;
  readonly Name?: string | undefined;
  readonly KeyCount?: number | undefined;
  readonly MaxKeys?: number | undefined;
}

/** Pages in a row that may bring the listing no further. Honest ones are empty where a server passes over keys that were deleted: 1,000 of them a page, in buckets with versions. */
const mostIdlePages = 10_000;

/** From page to page of a listing, until the server says that it was the last one: a listing that is cut short must not be taken for the whole. */
export class PageWalk {
  readonly start: PagePosition;
  readonly #bucket: string;
  #token: string | undefined;
  /** The last key, of whatever kind, that a page brought beyond those before it. */
  #furthest: Buffer | undefined;
  #idlePages = 0;

  constructor(bucket: string, startAfter: string | undefined) {
    this.#bucket = bucket;
    this.start = startAfter === undefined ? {} : { startAfter };
    if (startAfter !== undefined) this.#furthest = Buffer.from(startAfter);
  }

  /** Where the page after this one begins; undefined when it is the last. @throws BlobError "unavailable" */
  next(page: ListedPage): PagePosition | undefined {
    // Some servers give an empty token for none.
    const token = page.NextContinuationToken === "" ? undefined : page.NextContinuationToken;
    if (!isListing(page)) throw this.#failure("answered with something that is no listing");
    if (!(page.IsTruncated ?? token !== undefined)) return undefined;
    const key = this.#bringFurther(page);
    if (token === undefined) {
      // It says that there is more, and not how to get it: that is behind the last key.
      if (key === undefined) throw this.#failure("cut its listing off, and does not say how it goes on");
      this.#token = undefined;
      return { startAfter: key };
    }
    if (token === this.#token) throw this.#failure("gives the same page of its listing again and again");
    this.#token = token;
    return { token };
  }

  /** The last key of the page, if it is beyond those of the pages before. */
  #bringFurther({ Contents: contents }: ListedPage): string | undefined {
    const key = contents?.at(-1)?.Key;
    const bytes = key === undefined ? undefined : Buffer.from(key);
    if (bytes && (this.#furthest === undefined || bytes.compare(this.#furthest) > 0)) {
      this.#furthest = bytes;
      this.#idlePages = 0;
      return key;
    }
    if (++this.#idlePages >= mostIdlePages) {
      throw this.#failure(`gave ${mostIdlePages} pages of its listing in a row that list nothing new`);
    }
    return undefined;
  }

  #failure(what: string): BlobError {
    return new BlobError("unavailable", `the bucket ${this.#bucket} ${what}: this is not all that it has`);
  }
}

/** What a proxy answers in the place of the server has nothing of it, and must not be an empty bucket. Some servers leave out `IsTruncated` when it is false. */
function isListing(page: ListedPage): boolean {
  const { Contents, IsTruncated, NextContinuationToken, Name, KeyCount, MaxKeys } = page;
  return [Contents, IsTruncated, NextContinuationToken, Name, KeyCount, MaxKeys].some(
    (each) => each !== undefined,
  );
}
