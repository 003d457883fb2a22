/** What one window runs, in a process of its own: the same words for our client's program and for that of the Go client. */

export type Mode =
  | "append-service"
  | "append-sync"
  | "appender"
  | "read"
  | "fragments"
  /** Ours only: so many readers that wait at the write head, each of which then gets what is appended. */
  | "blocked-readers"
  | BareMode;

/** No client at all: the same by Node with next to nothing around it. */
export type BareMode = "bare-grpc-append" | "bare-http2-append" | "bare-file" | "bare-snappy" | "bare-zstd";

export interface Call {
  readonly mode: Mode;
  readonly journal: string;
  /** Of appends or readers. */
  readonly count?: number;
  /** Of each append. */
  readonly size?: number;
  /** Of all that is read, or written as one append. */
  readonly bytes?: number;
  /** Where the stores of `fragments` are rooted. */
  readonly fileRoot?: string;
  /** Ours only: reads into one buffer, as the Go client always does, instead of getting chunks of their own. */
  readonly into?: boolean;
}

/** Of one window, as both programs print it. */
export interface Figures {
  readonly ops: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Of single operations; 0 where they are not waited for one by one. */
  readonly p50Ms: number;
  /** Of the program's process alone, while it was measured. */
  readonly cpuSeconds: number;
  /** The most that the process ever had resident. */
  readonly maxRssBytes: number;
  /** Of what ran uncounted before; not of the Go program, which is compiled. */
  readonly cold?: Pick<Figures, "bytes" | "seconds" | "p50Ms">;
  /** Of `fragments`: what was read by URLs. */
  readonly directBytes?: number;
  /** The Node that ran it, as `v24.21.0`; not of the Go program. */
  readonly node?: string;
}

/** The arguments behind `bench`, for either program. */
export function argumentsOf(call: Call): readonly string[] {
  const { mode, journal, count, size, bytes, fileRoot, into } = call;
  const flags: readonly (readonly [string, string | number | undefined])[] = [
    ["-journal", journal],
    ["-count", count],
    ["-size", size],
    ["-bytes", bytes],
    ["-file-root", fileRoot],
    ["-into", into === true ? "true" : undefined],
  ];
  return [mode, ...flags.flatMap(([flag, value]) => (value === undefined ? [] : [flag, String(value)]))];
}

/** What `argumentsOf` made, and the endpoint. @throws Error for anything else */
export function parseArguments([mode, ...flags]: readonly string[]): {
  readonly call: Call;
  readonly endpoint: string;
} {
  const values = new Map<string, string>();
  for (let at = 0; at < flags.length; at += 2) values.set(flags[at] ?? "", flags[at + 1] ?? "");
  const text = (flag: string): string => {
    const value = values.get(flag);
    if (value === undefined || value === "") throw new Error(`${flag} is missing`);
    return value;
  };
  const number = (flag: string): number | undefined => {
    if (!values.has(flag)) return undefined;
    const value = Number(text(flag));
    if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${flag} must be a whole number above 0`);
    return value;
  };
  if (!isMode(mode)) throw new Error(`there is no mode ${JSON.stringify(mode)}`);
  const [count, size, bytes] = [number("-count"), number("-size"), number("-bytes")];
  return {
    call: {
      mode,
      journal: text("-journal"),
      ...(count !== undefined && { count }),
      ...(size !== undefined && { size }),
      ...(bytes !== undefined && { bytes }),
      ...(values.has("-file-root") && { fileRoot: text("-file-root") }),
      ...(values.has("-into") && { into: true }),
    },
    endpoint: text("-endpoint"),
  };
}

const modes: ReadonlySet<string> = new Set<Mode>([
  "append-service",
  "append-sync",
  "appender",
  "read",
  "fragments",
  "blocked-readers",
  "bare-grpc-append",
  "bare-http2-append",
  "bare-file",
  "bare-snappy",
  "bare-zstd",
]);

function isMode(mode: string | undefined): mode is Mode {
  return mode !== undefined && modes.has(mode);
}

/** The last line of a program's output. @throws Error when it is none of figures */
export function parseFigures(stdout: string): Figures {
  const line = stdout.trimEnd().split("\n").at(-1) ?? "";
  const figures = JSON.parse(line) as Partial<Figures>;
  for (const name of ["ops", "bytes", "seconds", "p50Ms", "cpuSeconds", "maxRssBytes"] as const) {
    if (typeof figures[name] !== "number") throw new Error(`a program printed no figure ${name}: ${line}`);
  }
  return figures as Figures; // each was looked at
}
