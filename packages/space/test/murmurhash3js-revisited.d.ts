declare module "murmurhash3js-revisited" {
  const murmurHash3: {
    readonly x64: {
      /** 32 hexadecimal digits, h1 before h2. */
      readonly hash128: (bytes: ArrayLike<number>, seed?: number) => string;
    };
  };
  export = murmurHash3;
}
