/** A store in a bucket of any server that speaks S3. Needs @aws-sdk/client-s3, whose client the caller makes. */
export type { S3StoreOptions } from "./s3/options.js";
export type { S3Sender } from "./s3/requests.js";
export { s3Store } from "./s3/s3-store.js";
