import { status } from "@grpc/grpc-js";
import type { CallScope } from "./call-scope.js";
import type { Method, OpenCall } from "./open-call.js";

/** One request, one answer. Settles when the call is over. */
export async function unaryCall(
  method: Method,
  request: Buffer,
  { open, call }: { readonly open: OpenCall; readonly call: CallScope },
): Promise<Buffer> {
  const { path, requestSerialize, responseDeserialize } = method;
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      if (call.aborted) {
        open.finish({ code: status.CANCELLED, details: "" });
        reject(call.reason);
        return;
      }
      const { client } = open.connection.channel;
      const running = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        open.metadata,
        {},
        (error, response) => {
          const failure = open.finish(error ?? { code: status.OK, details: "" });
          if (call.aborted) reject(call.reason);
          else if (failure !== undefined) reject(failure);
          else resolve(response!);
        },
      );
      call.onAbort = () => running.cancel();
    });
  } finally {
    call.onAbort = undefined;
  }
}
