import type { Driver } from "./driver.js";

/** How a client process finds the system that it is to drive. */
export type SystemAddress =
  | { readonly system: "redis" | "nats" | "raw"; readonly port: number }
  | {
      readonly system: "ours";
      readonly etcd: string;
      readonly archive: string;
      readonly rangeSizeFactor: number;
    };

/** Only what a process drives is loaded into it. */
export async function openDriver(address: SystemAddress): Promise<Driver> {
  switch (address.system) {
    case "redis":
      return await (await import("./redis-driver.js")).openRedisDriver(address.port);
    case "nats":
      return await (await import("./nats-driver.js")).openNatsDriver(address.port);
    case "raw":
      return await (await import("./raw-driver.js")).openRawDriver(address.port);
    case "ours":
      return await (await import("./our-driver.js")).openOurDriver(address);
  }
}
