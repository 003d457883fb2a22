import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { KubernetesHttp } from "./kubernetes-api.js";

/** A dead peer is noticed by TCP after this and a few probes, also on a watch that says nothing for minutes. */
const keepAliveMs = 15_000;

/** Node's own http and https. Follows no redirects. */
export const systemHttp: KubernetesHttp = async (url, { headers, ca, signal }) => {
  const isHttps = url.startsWith("https:");
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = (isHttps ? httpsRequest : httpRequest)(url, {
      headers,
      signal,
      agent: false,
      ...(ca === undefined ? {} : { ca }),
    });
    request.on("socket", (socket) => socket.setKeepAlive(true, keepAliveMs));
    request.on("response", resolve).on("error", reject).end();
  });
  return { status: response.statusCode ?? 0, body: response };
};
