import type { Coord } from "@x/coord";
import { TopicClient } from "@x/topic-gateway/client";

export async function example(coord: Coord, print: (line: string) => void): Promise<void> {
  // example:begin
  const client = await TopicClient.open({ coord });
  await client.topics.add("orders");

  // Durable when it resolves. Messages of one key keep their order.
  await client.publish("orders", { key: "customer-7", data: "ordered" });
  await client.publish("orders", { key: "customer-7", data: "paid" });

  // Consumers of one subscription share its messages.
  await client.createSubscription("orders", "billing");
  const consumer = await client.subscribe("orders", "billing", { consumer: "billing-1" });
  for await (const message of consumer) {
    print(`${message.key}: ${Buffer.from(message.data)}`);
    await message.acknowledge();
    if (message.sequence === 2) break;
  }
  await client.close();
  // example:end
}
