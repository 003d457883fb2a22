import type { MethodDefinition } from "@grpc/grpc-js";

/**
 * Gazette's Journal service for grpc-js, with messages as bytes on both sides. The encoders and decoders of this folder stand before and
 * behind it rather than in it: what they throw inside of grpc-js ends as a status INTERNAL, and its code would be lost.
 */
export const journalMethods: {
  readonly list: MethodDefinition<Buffer, Buffer>;
  readonly apply: MethodDefinition<Buffer, Buffer>;
  readonly read: MethodDefinition<Buffer, Buffer>;
  readonly append: MethodDefinition<Buffer, Buffer>;
  readonly listFragments: MethodDefinition<Buffer, Buffer>;
  readonly fragmentStoreHealth: MethodDefinition<Buffer, Buffer>;
} = {
  list: method("List", { responseStream: true }),
  apply: method("Apply", {}),
  read: method("Read", { responseStream: true }),
  append: method("Append", { requestStream: true }),
  listFragments: method("ListFragments", {}),
  fragmentStoreHealth: method("FragmentStoreHealth", {}),
};

function method(
  name: string,
  streams: { readonly requestStream?: boolean; readonly responseStream?: boolean },
): MethodDefinition<Buffer, Buffer> {
  return {
    path: `/protocol.Journal/${name}`,
    requestStream: streams.requestStream ?? false,
    responseStream: streams.responseStream ?? false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

function same(bytes: Buffer): Buffer {
  return bytes;
}
