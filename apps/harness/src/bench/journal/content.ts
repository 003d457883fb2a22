const words =
  "journal broker fragment offset append read commit label selector store replica primary etcd zone route header message clock".split(
    " ",
  );

/** Lines of JSON of the kind that the program of the Go client makes: they compress well, to a quarter or less. The same in every run. */
export function jsonLines(bytes: number): Buffer {
  let state = 1;
  /** A linear congruential generator (the constants are those of Numerical Recipes); its upper bits are good enough here. */
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const word = (): string => words[below(words.length)] ?? "";
  const lines: string[] = [];
  for (let length = 0; length < bytes; ) {
    const line = `{"id":${below(2 ** 31)},"user":"user-${String(below(5000)).padStart(4, "0")}","city":"${word()}","amount":${below(1000)}.${String(below(100)).padStart(2, "0")},"note":"${word()} ${word()} ${word()}"}\n`;
    length += line.length;
    lines.push(line);
  }
  return Buffer.from(lines.join("")).subarray(0, bytes);
}
