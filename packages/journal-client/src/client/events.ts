/** What a client tells beside its results, for logs. */
export type ClientEvent =
  /** No default endpoint can be reached, and a listing or apply waits until one can. */
  { readonly type: "no-broker"; readonly endpoints: readonly string[] };
