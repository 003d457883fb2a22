import { createHmac } from "node:crypto";

/** What a token allows, by the names of Gazette's capabilities, and their bits in the claim `cap`. */
export const gazetteCapabilities = { LIST: 2, APPLY: 4, READ: 8, APPEND: 16, REPLICATE: 32 } as const;

export type GazetteCapability = keyof typeof gazetteCapabilities;

export interface GazetteLabel {
  readonly name: string;
  readonly value?: string;
  readonly prefix?: boolean;
}

export interface GazetteTokenOptions {
  /** Default: all. */
  readonly capabilities?: readonly GazetteCapability[];
  /** Which journals: those with all of these labels (`name` is one). Default: all journals. */
  readonly include?: readonly GazetteLabel[];
  /** Default 3,600. Negative: a token that has expired. */
  readonly validForSeconds?: number;
}

/** A bearer token as Gazette's brokers verify it: a JWT with HS256 by one of their `--broker.auth-keys`. */
export function gazetteToken(base64Key: string, options: GazetteTokenOptions = {}): string {
  const names = options.capabilities ?? (Object.keys(gazetteCapabilities) as GazetteCapability[]); // the keys of that very object
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    cap: names.reduce((bits, name) => bits | gazetteCapabilities[name], 0),
    sel: { include: { labels: options.include ?? [] } },
    iat: Math.min(now, now + (options.validForSeconds ?? 0)),
    exp: now + (options.validForSeconds ?? 3_600),
  };
  const text = [{ alg: "HS256", typ: "JWT" }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  const signature = createHmac("sha256", Buffer.from(base64Key, "base64")).update(text).digest("base64url");
  return `${text}.${signature}`;
}
