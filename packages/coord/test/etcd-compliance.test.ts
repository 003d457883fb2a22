import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import {
  type EtcdServer,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
} from "../../../apps/harness/src/servers/index.js";
import { etcdCoord } from "../src/etcd.js";
import { type CoordUnderTest, complianceCases } from "../src/testing.js";

describe.skipIf(!requireServer("etcd"))(
  "coord/etcd keeps the contract of the port on real etcd",
  { timeout: 120_000 },
  () => {
    let etcd: EtcdServer;
    let opened = 0;

    beforeAll(async () => {
      // An election timeout of 100 ms lets leases be as short as a second.
      etcd = await startEtcd({ args: ["--heartbeat-interval=10", "--election-timeout=100"] });
    }, goBuildTimeoutMs);

    beforeEach((test) => etcd.keepIfFails(test));

    afterAll(async () => {
      await etcd?.stop();
    });

    const etcdUnderTest: CoordUnderTest = {
      // Half of it is what a call and its disk may take before the lease ends.
      leaseTtlMs: 4_000,
      pass: (ms) => sleep(ms), // the time of a real server passes only by itself
      async open() {
        const coord = etcdCoord({ hosts: etcd.endpoint, probeIntervalMs: 200, maxReconnectDelayMs: 200 });
        return {
          coord,
          prefix: `/case-${++opened}/`,
          compact: (revision) => etcd.compact(revision),
          async restart() {
            await etcd.kill("SIGKILL");
            await etcd.restart();
            return coord;
          },
          async wipe() {
            await etcd.kill("SIGKILL");
            await etcd.wipe();
          },
          close: () => coord.close(),
        };
      },
    };

    for (const { name, run } of complianceCases) it(name, () => run(etcdUnderTest));
  },
);
