import { type ClientDuplexStream, credentials } from "@grpc/grpc-js";
import { ntail } from "@x/topic-gateway/wire";
import { describe, expect, it } from "vitest";
import { Http } from "./support/http.js";
import { startGatewayProcess } from "./support/process.js";

const ROUNDS = 3;
const KEYS = 8;

/**
 * Everything that was sent, numbered in the order of sending; a message's data is its number. Nothing is sent twice: what was not
 * acknowledged when the process was killed may be there or not, but never out of order.
 */
class Ledger {
  readonly acknowledged = new Map<string, number>();
  sent = 0;

  next(way: string): { key: string; data: string } {
    this.sent += 1;
    return { key: `${way}${this.sent % KEYS}`, data: String(this.sent) };
  }

  acknowledge(id: string, data: string): void {
    this.acknowledged.set(id, Number(data));
  }
}

describe("a process that is killed while it takes appends", { timeout: 180_000 }, () => {
  it("has every acknowledged message after the next start, in the order of its key", async () => {
    await using gateway = await startGatewayProcess({ flags: ["--segment-max-bytes", "65536"] });
    const http = new Http(gateway.url);
    const topic = await http.createTopic("t");
    const ledger = new Ledger();
    for (let round = 1; round <= ROUNDS; round++) {
      const enough = ledger.acknowledged.size + 2_000;
      const appending = [appendOverHttp(http, topic, ledger), appendOverGrpc(gateway.grpc, topic, ledger)];
      while (ledger.acknowledged.size < enough) await new Promise((resolve) => setTimeout(resolve, 1));
      await gateway.process.kill("SIGKILL");
      await Promise.all(appending);
      expect(ledger.sent, "some were on their way").toBeGreaterThan(ledger.acknowledged.size);
      await gateway.process.restart();

      const at = await http.subscribe(topic, `round${round}`);
      const messages = await http.readUntil(at, "me", ledger.acknowledged.keys());
      const dataOf = new Map(messages.map(({ id, data }) => [id, Number(data)]));
      const lost = [...ledger.acknowledged].filter(([id, number]) => dataOf.get(id) !== number);
      expect(lost, `lost in round ${round}`).toEqual([]);
      const newest = new Map<string, number>();
      const seen = new Set<string>();
      for (const { key, data } of messages) {
        // The gateway repeats an append whose answer it does not get, so each is there at least once.
        if (seen.has(data)) continue;
        seen.add(data);
        expect(Number(data), `${key} is in order`).toBeGreaterThan(newest.get(key) ?? 0);
        newest.set(key, Number(data));
      }
    }
  });

  /** One request after the other, until one fails. */
  async function appendOverHttp(http: Http, topic: string, ledger: Ledger): Promise<void> {
    for (;;) {
      const lines = Array.from({ length: 20 }, () => ledger.next("http"));
      const answer = await http.postLines(topic, lines).catch(() => undefined);
      if (answer?.status !== 200) return;
      answer.json.ids?.forEach((id, i) => {
        ledger.acknowledge(id, lines[i]?.data as string);
      });
    }
  }

  /** As many in flight as the stream takes, until it breaks. */
  async function appendOverGrpc(address: string, topic: string, ledger: Ledger): Promise<void> {
    const client = new ntail.GatewayServiceClient(address, credentials.createInsecure());
    const call: ClientDuplexStream<ntail.AppendRequest, ntail.AppendResponse> = client.append();
    const broken = new Promise<false>((resolve) => call.on("error", () => resolve(false)));
    call.on("data", ({ reqId, msgId }: ntail.AppendResponse) => {
      if (msgId !== undefined) ledger.acknowledge(msgId, String(reqId));
    });
    for (;;) {
      const { key, data } = ledger.next("grpc");
      const request = { reqId: BigInt(data), topic, key, data: Buffer.from(data) };
      if (call.write(request)) continue;
      const drained = new Promise<true>((resolve) => call.once("drain", () => resolve(true)));
      if (!(await Promise.race([drained, broken]))) break;
    }
    client.close();
  }
});
