/**
 * Keeps web pages of other sites out. A page may point an `<img>` anywhere, and a pull is a GET that takes messages from others. Browsers say
 * with `Sec-Fetch-Site` who asks (of https and of this machine, see W3C Fetch Metadata). And a page may have the name of its own site lead
 * here (DNS rebinding), then it is one of ours for the browser: only the `Host` tells.
 */
import { isIP } from "node:net";
import type { MiddlewareHandler } from "hono";
import { HttpError } from "./errors.js";
import { quote } from "./input.js";

/** @param names what the `Host` may be beside IP addresses and localhost, in lower case */
export function refuseOtherSites(names: readonly string[]): MiddlewareHandler {
  const allowed = new Set(["localhost", ...names]);
  return async (c, next) => {
    // "none" is somebody who typed the address. Whatever is no browser does not send it.
    const site = c.req.header("sec-fetch-site");
    if (site !== undefined && site !== "same-origin" && site !== "none") {
      throw new HttpError(
        403,
        "cross-site",
        "a web page of another site can't ask this gateway: its own page and programs that are no browser are allowed",
      );
    }
    const host = c.req.header("host");
    if (host !== undefined && !isOurs(host)) {
      throw new HttpError(
        403,
        "unknown-host",
        `the host ${quote(host)} is not known as this gateway's: an IP address, localhost and what --http-allow-host names are allowed`,
      );
    }
    await next();
  };

  function isOurs(host: string): boolean {
    const name = host.replace(/:\d*$/, "").toLowerCase();
    return allowed.has(name) || isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0;
  }
}
