/** A client in a process of its own, so that systems share no heap: takes commands from its parent, and ends with it. */
import type { Answer, Command, Reply } from "./commands.js";
import type { Driver } from "./driver.js";
import { openDriver } from "./drivers.js";
import { consume, fill, LiveLoad, runLoad } from "./loads.js";

let driver: Driver | undefined;
let live: LiveLoad | undefined;

async function obey(command: Command): Promise<Answer> {
  if (command.type === "open") {
    driver = await openDriver(command.system);
    return {};
  }
  if (driver === undefined) throw new Error("the client is not open");
  switch (command.type) {
    case "use-topic":
      await driver.useTopic(command.name);
      return {};
    case "fill":
      return await fill(driver, command.count, command.bytes, command.withinMs);
    case "load":
      return await runLoad(driver, command.load, command.window);
    case "consume":
      return await consume(driver, command.available, command.withinMs);
    case "open-live":
      live = new LiveLoad(driver);
      await live.open();
      return {};
    case "end-to-end":
      if (live === undefined) throw new Error("there is no live consumer");
      return await live.run(command.perSecond, command.bytes, command.window);
    case "close-live":
      await live?.[Symbol.asyncDispose]();
      live = undefined;
      return {};
    case "close":
      await driver[Symbol.asyncDispose]();
      return {};
  }
}

process.on("message", (command: Command) => {
  obey(command).then(
    (answer) => reply({ answer }, command.type === "close"),
    (error: unknown) =>
      reply({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }, false),
  );
});
// The parent is gone, however that happened.
process.on("disconnect", () => process.exit());

function reply(message: Reply, last: boolean): void {
  process.send?.(message, undefined, undefined, () => {
    // An orderly exit, so that a CPU profile is written, and that no open handle of a client library keeps the process.
    if (last) process.exit();
  });
}
