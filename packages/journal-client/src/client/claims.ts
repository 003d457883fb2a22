/** The least claims for each call, and how long they last (as Gazette's AuthJournalClient asks for them). */
import { stripMeta } from "../protocol/journal-name.js";
import type { LabelSelector } from "../protocol/label.js";
import { EVERY_JOURNAL } from "../protocol/label-selector.js";
import { labelSet } from "../protocol/label-set.js";
import type { ApplyRequest } from "../protocol/requests.js";
import { Capability, type Claims } from "./auth.js";

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** More names than this make a token that is too long for a header. */
const MAX_NAMED = 64;

/** What a call needs to be allowed, and for how long. */
export interface Scope {
  readonly claims: Claims;
  readonly expiresInMs: number;
}

/** To follow or page through a listing. */
export function listScope(selector: LabelSelector): Scope {
  return { claims: { capability: Capability.LIST, selector }, expiresInMs: HOUR_MS };
}

export function readScope(journal: string): Scope {
  return { claims: { capability: Capability.READ, selector: named([journal]) }, expiresInMs: HOUR_MS };
}

export function appendScope(journal: string): Scope {
  return { claims: { capability: Capability.APPEND, selector: named([journal]) }, expiresInMs: HOUR_MS };
}

export function applyScope({ changes }: ApplyRequest): Scope {
  const names = changes.map(({ upsert, delete: deleted }) => upsert?.name ?? deleted ?? "");
  const selector = names.length === 0 || names.length > MAX_NAMED ? EVERY_JOURNAL : named(names);
  return { claims: { capability: Capability.APPLY, selector }, expiresInMs: MINUTE_MS };
}

export function storeScope(): Scope {
  return { claims: { capability: Capability.READ, selector: EVERY_JOURNAL }, expiresInMs: HOUR_MS };
}

function named(journals: readonly string[]): LabelSelector {
  return { include: labelSet({ name: [...new Set(journals.map(stripMeta))] }), exclude: [] };
}
