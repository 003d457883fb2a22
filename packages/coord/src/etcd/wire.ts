import type { Etcd3, IOptions } from "etcd3";

/**
 * gRPC's types as etcd3 hands them out: grpc-js is a dependency of etcd3, not of this package, so its types are
 * reached through etcd3's signatures.
 */
export type CallOptions = NonNullable<Parameters<Etcd3["kv"]["range"]>[1]>;
export type Interceptor = NonNullable<CallOptions["interceptors"]>[number];
export type GrpcCall = ReturnType<Parameters<Interceptor>[1]>;

export type Credentials = NonNullable<IOptions["credentials"]>;
export type GrpcOptions = NonNullable<IOptions["grpcOptions"]>;
export type Auth = NonNullable<IOptions["auth"]>;

/** The status codes of gRPC that matter here. */
export const GRPC: {
  readonly invalidArgument: 3;
  readonly deadlineExceeded: 4;
  readonly permissionDenied: 7;
  readonly failedPrecondition: 9;
} = { invalidArgument: 3, deadlineExceeded: 4, permissionDenied: 7, failedPrecondition: 9 };

/** What a duplex stream of grpc-js can do beyond what etcd3's type of it says. */
export interface Pausable {
  pause(): void;
  resume(): void;
}
