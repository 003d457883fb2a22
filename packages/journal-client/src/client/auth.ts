/** Authorizations as Gazette has them (its packages `auth` and `broker/protocol`): JSON web tokens whose claims name what is allowed where. */
import { createHmac } from "node:crypto";
import type { Clock } from "../clock.js";
import { JournalError } from "../errors.js";
import type { Label, LabelSelector } from "../protocol/label.js";
import { systemClock } from "../system.js";

/** Bits of a claim. Applications may have their own, from 1 << 16. */
export const Capability: {
  readonly LIST: number;
  readonly APPLY: number;
  readonly READ: number;
  readonly APPEND: number;
  readonly REPLICATE: number;
} = {
  LIST: 1 << 1,
  APPLY: 1 << 2,
  READ: 1 << 3,
  APPEND: 1 << 4,
  REPLICATE: 1 << 5,
};

/** The least that a call needs. */
export interface Claims {
  /** Bits of `Capability`. */
  readonly capability: number;
  /** The journals, by their labels and the names `name` and `prefix`. Both sides empty: all. */
  readonly selector: LabelSelector;
}

export interface AuthorizeOptions {
  /** How long the token has to be good for. Brokers end a stream when its token expires. */
  readonly expiresInMs: number;
  readonly signal?: AbortSignal;
}

/** Gives the bearer token of each call, by signing its claims or by asking a service that does. */
export interface Authorizer {
  authorize(claims: Claims, options: AuthorizeOptions): string | Promise<string>;
}

/** A token that is there already, or that somebody keeps fresh: `provider` is asked before each call. */
export function bearerAuth(
  token: string | ((options: { readonly signal?: AbortSignal }) => string | Promise<string>),
): Authorizer {
  if (typeof token === "function") {
    return { authorize: (_claims, { signal }) => token(signal === undefined ? {} : { signal }) };
  }
  checkToken(token);
  return { authorize: () => token };
}

/**
 * Signs with keys that the brokers know (`--broker.auth-keys`): HS256, with the first of them.
 * @param base64Keys base64, separated by commas or white space. "AA==" only means something to brokers, and is skipped
 * @throws JournalError "invalid-argument"
 */
export function keyedAuth(
  base64Keys: string,
  { clock = systemClock }: { readonly clock?: Clock } = {},
): Authorizer {
  const [key] = parseKeys(base64Keys);
  if (key === undefined) {
    throw new JournalError("invalid-argument", "keyedAuth needs at least one key, in base64.");
  }
  const header = segment({ alg: "HS256", typ: "JWT" });
  return {
    authorize({ capability, selector }, { expiresInMs }) {
      const nowMs = clock.wallMs();
      const claims = segment({
        cap: capability,
        sel: selectorJson(selector),
        exp: Math.floor((nowMs + expiresInMs) / 1000),
        iat: Math.floor(nowMs / 1000),
      });
      const signature = createHmac("sha256", key).update(`${header}.${claims}`).digest("base64url");
      return `${header}.${claims}.${signature}`;
    },
  };
}

function parseKeys(base64Keys: string): Buffer[] {
  if (typeof base64Keys !== "string") {
    throw new JournalError("invalid-argument", "keyedAuth takes keys in base64, as one string.");
  }
  return base64Keys
    .split(/[\s,]+/)
    .filter((key) => key !== "")
    .map((key, index) => {
      // Buffer skips what is no base64, and a key that was cut off would then sign.
      if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(key)) {
        throw new JournalError("invalid-argument", `The key at index ${index} is no padded base64.`);
      }
      return key;
    })
    .filter((key) => key !== "AA==")
    .map((key) => Buffer.from(key, "base64"));
}

function segment(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** As Go marshals a LabelSelector: no labels are null. */
function selectorJson({ include, exclude }: LabelSelector): unknown {
  return { include: { labels: labelsJson(include) }, exclude: { labels: labelsJson(exclude) } };
}

function labelsJson(labels: readonly Label[]): unknown {
  if (labels.length === 0) return null;
  return labels.map(({ name, value, prefix }) => ({
    name,
    ...(value === "" ? {} : { value }),
    ...(prefix === true ? { prefix } : {}),
  }));
}

/** A token goes into a header, which not every string fits. @throws JournalError "invalid-argument" */
export function checkToken(token: unknown): asserts token is string {
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) {
    throw new JournalError(
      "invalid-argument",
      "An authorizer gave no token: it must be a string of visible ASCII characters, not empty.",
    );
  }
}
