import { Writable } from "node:stream";

/** The part of an appender that streams need. */
interface Sink {
  write(chunk: Uint8Array): Promise<void>;
  commit(): Promise<unknown>;
  abort(): Promise<void>;
}

type Callback = (error?: Error | null) => void;

/** Runs what is asynchronous for a Node stream, whose callbacks take Errors only. */
function settle(promise: Promise<unknown>, callback: Callback): void {
  promise.then(
    () => callback(),
    (error: unknown) => callback(error instanceof Error ? error : new Error(String(error), { cause: error })),
  );
}

export function nodeWritable(sink: Sink, chunkBytes: number): Writable {
  return new Writable({
    highWaterMark: 2 * chunkBytes,
    write(chunk: Uint8Array, _encoding, callback) {
      settle(sink.write(chunk), callback);
    },
    writev(items, callback) {
      settle(
        writeAll(
          sink,
          items.map(({ chunk }) => chunk as Uint8Array),
          chunkBytes,
        ),
        callback,
      );
    },
    final(callback) {
      settle(sink.commit(), callback);
    },
    destroy(error, callback) {
      settle(sink.abort(), () => callback(error));
    },
  });
}

/** Joins what is small: a message costs more than the copy of some KiB. */
async function writeAll(sink: Sink, chunks: readonly Uint8Array[], chunkBytes: number): Promise<void> {
  let run: Uint8Array[] = [];
  let runBytes = 0;
  for (const chunk of chunks) {
    if (runBytes > 0 && runBytes + chunk.length > chunkBytes) {
      await sink.write(run.length === 1 ? (run[0] as Uint8Array) : Buffer.concat(run, runBytes));
      run = [];
      runBytes = 0;
    }
    run.push(chunk);
    runBytes += chunk.length;
  }
  if (runBytes > 0)
    await sink.write(run.length === 1 ? (run[0] as Uint8Array) : Buffer.concat(run, runBytes));
}

export function webWritable(sink: Sink, chunkBytes: number): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>(
    {
      write: (chunk) => sink.write(chunk),
      close: async () => {
        await sink.commit();
      },
      abort: () => sink.abort(),
    },
    new ByteLengthQueuingStrategy({ highWaterMark: 2 * chunkBytes }),
  );
}
