import type { Coord } from "@x/coord";
import { openBufferRegistry, TopicClient } from "@x/topic-gateway";

export async function healthExample(coord: Coord, print: (line: string) => void): Promise<void> {
  // example:begin
  await using buffers = openBufferRegistry({ coord });
  await using client = await TopicClient.open({ coord, health: buffers });
  const { registry } = buffers;
  while (registry.summary().healthy === 0) await registry.waitForChange(registry.version);
  for (const { id, address } of client.listBuffers()) {
    const judgement = buffers.judge(address);
    print(`${id} is ${judgement?.healthy ? "healthy" : judgement?.reasons.join(", ")}`);
  }
  // example:end
}
