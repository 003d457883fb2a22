import { createBufferServer, openBuffer } from "@x/topic-buffer";
import { openLocalArchive, openLocalSegmentLog } from "@x/topic-buffer/local";
import { coord, directory, print } from "./readme-setup.js";

// The server listens first: its address is what the buffer registers.
const server = await createBufferServer({ address: "127.0.0.1:0" });
const logs = await openLocalSegmentLog({ directory: `${directory}/segments` });
const archive = await openLocalArchive({ directory: `${directory}/archive` });
const buffer = await openBuffer({ id: "buffer-1", address: server.address, coord, logs, archive });
server.serve(buffer);
print(buffer.status().state);

// Hands its ranges to the other buffers, then lets go of everything.
await buffer.close();
await server.close();
await logs[Symbol.asyncDispose]();
print(buffer.status().state);
