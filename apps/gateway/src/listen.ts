/** Addresses to listen on, and what to say when they can't be had. */
import { createServer } from "node:net";
import { type Endpoint, formatEndpoint } from "@x/viewreg";

/**
 * Looks before anything else is begun: a second process that finds its ports taken must not have touched the data folder of the
 * first. Port 0 is always free.
 * @throws Error with a sentence for people
 */
export async function assertListenable(endpoint: Endpoint, flag: string): Promise<void> {
  const { host, port } = endpoint;
  if (port === 0) return;
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, resolve);
    });
  } catch (error) {
    throw new Error(
      `can't listen on ${formatEndpoint(endpoint)}: ${reasonOf(error)}; ${flag} takes another address`,
    );
  }
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "EADDRINUSE":
      return "another process listens there";
    case "EACCES":
      return "this user may not";
    case "EADDRNOTAVAIL":
      return "this machine has no such address";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "no such host is known";
    default:
      return message;
  }
}
