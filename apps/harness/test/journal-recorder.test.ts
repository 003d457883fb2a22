import { describe, expect, it } from "vitest";
import { AppendRecorder, difference, recordsOf } from "../src/faults/journal-recorder.js";

function twoRecords(): { recorder: AppendRecorder; names: [string, string]; lines: [string, string] } {
  const recorder = new AppendRecorder();
  const [a, b] = [recorder.record("j"), recorder.record("j")];
  recorder.told("j", a.name, "committed");
  recorder.told("j", b.name, "committed");
  return { recorder, names: [a.name, b.name], lines: [a.line, b.line] };
}

describe("the judge of what was appended to journals", () => {
  it("finds nothing wrong with each record once, in order", () => {
    const { recorder, lines } = twoRecords();
    expect(recorder.violations("j", Buffer.from(lines.join("")))).toEqual([]);
  });

  it("finds what is lost, twice, out of order, damaged, cut off, foreign and untold", () => {
    const { recorder, lines, names } = twoRecords();
    const [a, b] = lines;
    const judge = (content: string): string[] => recorder.violations("j", Buffer.from(content));
    expect(judge(a)).toEqual([`j: ${names[1]} was committed and is lost`]);
    expect(judge(a + b + a)).toEqual([`j: ${names[0]} (committed) is there 2 times, not 1`]);
    expect(judge(b + a)).toEqual([`j: ${names[0]} came after one that was begun later`]);
    expect(judge(a + b.replace(/ [0-9a-f]/, " x"))[0]).toMatch(/a record is damaged/);
    expect(judge(a + b + a.slice(0, 9))).toEqual([expect.stringMatching(/ends in the middle of a record/)]);
    const other = new AppendRecorder();
    for (let index = 0; index < 3; index++) other.record("k");
    const foreign = other.record("k");
    expect(judge(a + b + foreign.line)).toContain(`j: ${foreign.name} was never appended to it`);
    recorder.record("j");
    expect(judge(a + b)).toEqual([expect.stringMatching(/nobody was told/)]);
  });

  it("allows one more copy for each RPC with an unknown outcome, and none for one that was refused", () => {
    const { recorder, lines, names } = twoRecords();
    const content = Buffer.from(`${lines[0]}${lines[1]}${lines[0]}${lines[1]}`);
    recorder.rpcs.push({ journal: "j", records: names, outcome: "refused" });
    expect(recorder.violations("j", content)).toHaveLength(2);
    recorder.rpcs.push({ journal: "j", records: names, outcome: "unknown" });
    expect(recorder.violations("j", content)).toEqual([]);
    expect(recorder.violations("j", Buffer.concat([content, Buffer.from(lines[0])]))).toHaveLength(1);
  });

  it("finds an append that failed and is there all the same, unless nobody could know", () => {
    const recorder = new AppendRecorder();
    const { name, line } = recorder.record("j");
    recorder.told("j", name, "failed");
    expect(recorder.violations("j", Buffer.from(line))).toEqual([
      `j: ${name} (failed) is there 1 times, not 0`,
    ]);
    recorder.rpcs.push({ journal: "j", records: [name], outcome: "unknown" });
    expect(recorder.violations("j", Buffer.from(line))).toEqual([]);
    expect(recorder.violations("j", Buffer.alloc(0))).toEqual([]);
  });

  it("tells where bytes differ", () => {
    expect(difference(Buffer.from("abc"), Buffer.from("abc"))).toBeUndefined();
    expect(difference(Buffer.from("abd"), Buffer.from("abc"))).toMatch(/byte 2/);
    expect(difference(Buffer.from("ab"), Buffer.from("abc"))).toMatch(/2 bytes were read of 3/);
    expect(recordsOf(Buffer.alloc(0))).toEqual([]);
  });
});
