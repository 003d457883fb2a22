import { type ClientReadableStream, type ClientUnaryCall, type ServiceError, status } from "@grpc/grpc-js";

/** A unary call as a promise. @throws the signal's reason, ServiceError */
export function unary<Answer>(
  start: (callback: (error: ServiceError | null, answer: Answer) => void) => ClientUnaryCall,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise<Answer>((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const call = start((error, answer) => {
      signal.removeEventListener("abort", onAbort);
      if (error === null) resolve(answer);
      else reject(error);
    });
    const onAbort = (): void => {
      // First, because the call ends with an error of its own.
      reject(signal.reason);
      call.cancel();
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Hands on what a server streams until it ends; then it returns its error, or undefined.
 * @throws the signal's reason, or what `message` threw, which ends the call
 */
export function follow<Message>(
  call: ClientReadableStream<Message>,
  { signal, message }: { readonly signal: AbortSignal; readonly message: (message: Message) => void },
): Promise<ServiceError | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => stop(signal.reason);
    const stop = (reason: unknown): void => {
      signal.removeEventListener("abort", onAbort);
      reject(reason);
      call.cancel();
    };
    const end = (error: ServiceError | undefined): void => {
      signal.removeEventListener("abort", onAbort);
      resolve(error);
    };
    call.on("data", (data: Message) => {
      if (signal.aborted) return;
      try {
        message(data);
      } catch (error) {
        stop(error);
      }
    });
    call.on("end", () => end(undefined));
    // Stays, because an error that nobody listens to ends the process.
    call.on("error", (error: ServiceError) => end(error));
    if (signal.aborted) stop(signal.reason);
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** The status code of what a call threw; undefined for anything else. */
export function statusOf(error: unknown): status | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined;
}

/**
 * The server speaks gRPC and does not have this. grpc-js makes the same code of an HTTP 404, which any web server gives; only its own
 * words tell the two apart.
 */
export function isUnimplemented(error: unknown): boolean {
  return (
    statusOf(error) === status.UNIMPLEMENTED &&
    error instanceof Error &&
    !/\bReceived HTTP status code \d+$/.test(error.message)
  );
}
