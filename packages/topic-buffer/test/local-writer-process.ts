import { TopicError } from "@x/topic-gateway/protocol";
import { openLocalSegmentLog } from "../src/local.js";
import { Frames, lengthsOfAppend } from "./local-support.js";

// Run by the tests in a process of its own: appends to one log after the other, as fast as it can, and tells of each
// acknowledgement on stdout, one line each: `acknowledged SEQUENCE;`. When it is refused it tells that, tries again once,
// and goes on with the next log.

const [directory, first, last] = process.argv.slice(2);
const store = await openLocalSegmentLog({ directory: directory!, preallocateBytes: 64 * 1024 });
for (let number = Number(first); number <= Number(last); number++) {
  const frames = new Frames(store.id, number);
  const writer = await store.create(frames.name, frames.header);
  process.stdout.write(`created ${frames.name};\n`);
  let refusals = 0;
  for (let append = 0; refusals < 2; append++) {
    try {
      await writer.append(frames.next(lengthsOfAppend(append)));
      process.stdout.write(`acknowledged ${frames.frames.length};\n`);
    } catch (error) {
      refusals += 1;
      process.stdout.write(`refused ${error instanceof TopicError ? error.code : String(error)};\n`);
    }
  }
  await writer.close();
}
