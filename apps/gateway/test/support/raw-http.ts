/** Connections of a client that does not behave as `fetch` does. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface RawConnection {
  /** Resolves when it was handed to the kernel. */
  write(text: string): Promise<void>;
  /** Resolves when what came has this in it; with false when the other side ends it before. */
  receives(pattern: RegExp): Promise<boolean>;
  /** Resolves with all that came when the other side has ended it. */
  readonly ended: Promise<string>;
  destroy(): void;
}

/** It never ends the connection by itself, not even when the other side does. */
export async function openRaw(url: string): Promise<RawConnection> {
  const { hostname, port } = new URL(url);
  const socket: Socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  let received = "";
  let look = (): void => {};
  socket.on("data", (data) => {
    received += data.toString("latin1");
    look();
  });
  socket.on("error", () => {});
  const ended = new Promise<string>((resolve) => {
    socket.once("end", () => resolve(received));
    socket.once("close", () => resolve(received));
  });
  await once(socket, "connect");
  return {
    write: (text) => new Promise((resolve) => void socket.write(text, "latin1", () => resolve())),
    receives: (pattern) =>
      new Promise((resolve) => {
        look = () => {
          if (pattern.test(received)) resolve(true);
        };
        look();
        void ended.then(() => resolve(pattern.test(received)));
      }),
    ended,
    destroy: () => void socket.destroy(),
  };
}
