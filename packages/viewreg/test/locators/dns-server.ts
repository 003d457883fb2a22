import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";

export type Record_ =
  | { readonly address: string; readonly ttl: number }
  | {
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
      readonly ttl: number;
    };

/** What it says of a name and type: records, that the name is not there, that the server failed, nothing at all, or garbage. */
export type Zone = Map<string, readonly Record_[] | "nxdomain" | "servfail" | "silent" | "garbage">;

const typeNames = new Map([
  [1, "A"],
  [28, "AAAA"],
  [33, "SRV"],
]);

/** A DNS server of one zone on loopback (RFC 1035's messages over UDP, without compression). Keys are `TYPE name`. */
export class DnsServer implements AsyncDisposable {
  readonly zone: Zone = new Map();
  readonly asked: string[] = [];
  readonly #socket: Socket = createSocket("udp4");

  static async start(): Promise<DnsServer> {
    const server = new DnsServer();
    server.#socket.on("message", (query, { port, address }) => {
      const answer = server.#answer(query);
      if (answer !== undefined) server.#socket.send(answer, port, address);
    });
    await new Promise<void>((resolve) => server.#socket.bind(0, "127.0.0.1", resolve));
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }

  #answer(query: Buffer): Buffer | undefined {
    const labels: string[] = [];
    let at = 12;
    for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
      labels.push(query.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
    const type = query.readUInt16BE(at + 1);
    const question = query.subarray(12, at + 5);
    const key = `${typeNames.get(type)} ${labels.join(".").toLowerCase()}`;
    this.asked.push(key);
    const found = this.zone.get(key) ?? [];
    if (found === "silent") return undefined;
    if (found === "garbage")
      return Buffer.concat([query.subarray(0, 2), Buffer.from([0x81, 0x80, 0, 9, 255, 255])]);
    const records = typeof found === "string" ? [] : found;
    const code = found === "nxdomain" ? 3 : found === "servfail" ? 2 : 0;
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | code, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    return Buffer.concat([header, question, ...records.map((record) => encode(labels, type, record))]);
  }
}

function encode(labels: readonly string[], type: number, record: Record_): Buffer {
  const data = "address" in record ? encodeAddress(record.address) : encodeService(record);
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(record.ttl, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(labels), fixed, data]);
}

function encodeAddress(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail = ""] = address.split("::");
  const groups = (text: string): number[] =>
    text
      .split(":")
      .filter(Boolean)
      .map((group) => Number.parseInt(group, 16));
  const [before, after] = [groups(head), groups(tail)];
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 255]));
}

function encodeService(record: { priority: number; weight: number; port: number; target: string }): Buffer {
  const numbers = Buffer.alloc(6);
  numbers.writeUInt16BE(record.priority, 0);
  numbers.writeUInt16BE(record.weight, 2);
  numbers.writeUInt16BE(record.port, 4);
  return Buffer.concat([numbers, encodeName(record.target.split(".").filter(Boolean))]);
}

function encodeName(labels: readonly string[]): Buffer {
  return Buffer.concat([
    ...labels.map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, "latin1")),
    Buffer.alloc(1),
  ]);
}
