/** What goes wrong, as an HTTP answer: a status, a code to match on, and a sentence. */
import { CoordError } from "@x/coord";
import { TopicError, type TopicErrorCode } from "@x/topic-gateway/protocol";

export type HttpStatus = 400 | 403 | 404 | 405 | 408 | 409 | 413 | 415 | 429 | 431 | 500 | 503;

export class HttpError extends Error {
  readonly status: HttpStatus;
  readonly code: string;

  constructor(status: HttpStatus, code: string, message: string) {
    super(message);
    this.name = "HttpError";
    this.status = status;
    this.code = code;
  }
}

const STATUS: Readonly<Partial<Record<TopicErrorCode, HttpStatus>>> = {
  "topic-not-found": 404,
  "subscription-not-found": 404,
  "message-not-found": 404,
  "topic-exists": 409,
  "subscription-exists": 409,
  "lease-lost": 409,
  "message-too-large": 413,
  overloaded: 429,
  unavailable: 503,
  "not-owner": 503,
  closed: 503,
  "log-failed": 503,
  corrupt: 500,
  "log-missing": 500,
};

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string };
}

export interface ErrorAnswer {
  readonly status: HttpStatus;
  readonly body: ErrorBody;
}

export function toErrorAnswer(error: unknown): ErrorAnswer {
  if (error instanceof HttpError) return answer(error.status, error.code, error.message);
  if (error instanceof TopicError) {
    const status = STATUS[error.code] ?? (error.code.startsWith("invalid-") ? 400 : 500);
    return answer(status, error.code, error.message);
  }
  if (error instanceof CoordError)
    return answer(503, "unavailable", "the coordination store is not reachable now; try again");
  return answer(500, "internal", "an internal error; the server's log has it");
}

function answer(status: HttpStatus, code: string, message: string): ErrorAnswer {
  return { status, body: { error: { code, message } } };
}
