import { isJournalError, JournalError, type JournalErrorCode } from "../errors.js";
import type { Fragment } from "../protocol/fragment.js";
import type { ReadRequest } from "../protocol/requests.js";
