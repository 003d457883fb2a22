import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goBuildTimeoutMs, requireServer, startEtcd } from "../../../apps/harness/src/servers/index.js";
import { FaultyProxy, portOf } from "./etcd-support.js";

const source = fileURLToPath(new URL("../src", import.meta.url));
// Inside the package, so that etcd3 is found from there.
const modules = fileURLToPath(new URL("../node_modules", import.meta.url));

describe.skipIf(!requireServer("etcd"))(
  "a process that closes its etcd coord",
  { timeout: goBuildTimeoutMs },
  () => {
    let folder = "";

    beforeAll(async () => {
      folder = await mkdtemp(join(modules, ".etcd-exit-"));
      await writeFile(join(folder, "package.json"), '{"type":"module"}');
      for (const name of await readdir(source, { recursive: true })) {
        if (!name.endsWith(".ts")) continue;
        const { outputText } = ts.transpileModule(await readFile(join(source, name), "utf8"), {
          compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext },
        });
        const target = join(folder, name.replace(/\.ts$/, ".js"));
        await mkdir(dirname(target), { recursive: true });
        await writeFile(target, outputText);
      }
    });

    afterAll(async () => {
      await rm(folder, { recursive: true, force: true });
    });

    async function run(body: string): Promise<{ readonly code: number | null; readonly output: string }> {
      const script = join(folder, "program.js");
      await writeFile(script, `import { etcdCoord } from "./etcd.js";\n${body}\nconsole.log("closed");\n`);
      const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
      let output = "";
      child.stdout.on("data", (text) => {
        output += text;
      });
      child.stderr.on("data", (text) => {
        output += text;
      });
      const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
      return { code, output };
    }

    it("exits by itself after calls, leases and watches that it never left", async (test) => {
      const etcd = await startEtcd({ test });
      const ended = await run(`
      const coord = etcdCoord({ hosts: ${JSON.stringify(etcd.endpoint)} });
      const watch = coord.watch({ prefix: "" })[Symbol.asyncIterator]();
      await coord.txn({ then: [{ type: "put", key: "k", value: "v" }] });
      await watch.next();
      const waiting = watch.next().catch(({ code }) => console.log("watch", code));
      const { id } = await coord.grantLease(60_000);
      await coord.keepAlive(id);
      await coord.close();
      await waiting;`);
      expect(ended).toEqual({ code: 0, output: "watch closed\nclosed\n" });
    });

    it("exits by itself when etcd does not answer", async (test) => {
      const etcd = await startEtcd({ test });
      await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
      proxy.swallow("toClient", "toServer");
      for (const endpoint of [proxy.endpoint, "http://127.0.0.1:1"]) {
        const ended = await run(`
        const coord = etcdCoord({ hosts: ${JSON.stringify(endpoint)} });
        const watch = coord.watch({ key: "k" }, { fromRevision: 1n })[Symbol.asyncIterator]();
        const waiting = [coord.keepAlive(1n), watch.next()].map((call) => call.catch(({ code }) => code));
        await coord.get({ key: "k" }, { signal: AbortSignal.timeout(50) }).catch(() => {});
        await coord.close();
        await Promise.all(waiting);`);
        expect(ended).toEqual({ code: 0, output: "closed\n" });
      }
    });
  },
);
