import { once } from "node:events";
import { type AddressInfo, createConnection, type Server, type Socket } from "node:net";

/** Makes a server answer with what it gets, and listen on loopback. @returns `host:port` */
export async function echoServer(server: Server, sockets: Set<Socket>): Promise<string> {
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`; // it listens on a TCP port
}

export interface Connection extends AsyncDisposable {
  readonly socket: Socket;
  /** Sends a text, and gives what has come when it is as long. */
  ask(text: string): Promise<string>;
  /** All that has come and was not asked for. */
  received(): string;
  /** Resolves when the connection has ended: with the error, if it ended in one. */
  readonly ended: Promise<Error | undefined>;
}

/** @throws the socket's error when it cannot connect */
export async function connectTo(port: number): Promise<Connection> {
  const socket = createConnection({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  let text = "";
  let failure: Error | undefined;
  socket.setEncoding("utf8");
  socket.on("data", (part: string) => {
    text += part;
  });
  socket.once("error", (error) => {
    failure = error;
  });
  const ended = new Promise<Error | undefined>((resolve) => {
    socket.once("end", () => socket.end());
    socket.once("close", () => resolve(failure));
  });
  return {
    socket,
    ended,
    received: () => text,
    ask: (question) =>
      new Promise((resolve, reject) => {
        socket.write(question);
        const look = (): void => {
          if (text.length < question.length) return;
          socket.off("data", look);
          const answer = text;
          text = "";
          resolve(answer);
        };
        socket.on("data", look);
        void ended.then((error) => reject(error ?? new Error(`ended after ${text}`)));
      }),
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
      await ended;
    },
  };
}
