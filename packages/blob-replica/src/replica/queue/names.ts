/** What a name in the queue's folder says. */
export interface QueueName {
  readonly name: string;
  /** `whole`: a file of records. `new`: one that is not whole yet, or never became it. `owner`: somebody's claim. */
  readonly kind: "whole" | "new" | "owner";
  readonly owner: Owner;
  /** Which of the owner's files it is. */
  readonly file: number;
}

/** One process that opened the queue, once. */
export interface Owner {
  /** Greater than that of everybody who was there before. */
  readonly number: number;
  /** 16 hex digits by chance: two who took the same number are not the same, and no name is ever used again. */
  readonly id: string;
}

const filePattern = /^queue-(\d{1,15})-([0-9a-f]{16})-(\d{1,15})\.log(\.new)?$/;
const ownerPattern = /^queue-(\d{1,15})-([0-9a-f]{16})\.owner$/;
/** Of the first version, which had no owners: older than all others. */
const unownedPattern = /^queue-(\d{1,15})\.log(\.new)?$/;

export function fileName({ number, id }: Owner, file: number): string {
  return `queue-${number}-${id}-${file}.log`;
}

export function ownerName({ number, id }: Owner): string {
  return `queue-${number}-${id}.owner`;
}

/** Those that are ours, the oldest first. */
export function queueNames(names: readonly string[]): QueueName[] {
  return names.flatMap((name) => parse(name) ?? []).sort(compareNames);
}

function parse(name: string): QueueName | undefined {
  const file = filePattern.exec(name);
  if (file) {
    return {
      name,
      kind: file[4] ? "new" : "whole",
      owner: { number: Number(file[1]), id: file[2] as string }, // the pattern has it
      file: Number(file[3]),
    };
  }
  const claim = ownerPattern.exec(name);
  if (claim) {
    return { name, kind: "owner", owner: { number: Number(claim[1]), id: claim[2] as string }, file: 0 }; // the pattern has it
  }
  const unowned = unownedPattern.exec(name);
  if (!unowned) return undefined;
  return {
    name,
    kind: unowned[2] ? "new" : "whole",
    owner: { number: 0, id: "" },
    file: Number(unowned[1]),
  };
}

/** Less than 0 when `a` came first. */
export function compareOwners(a: Owner, b: Owner): number {
  if (a.number !== b.number) return a.number - b.number;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

function compareNames(a: QueueName, b: QueueName): number {
  return compareOwners(a.owner, b.owner) || a.file - b.file;
}
