import type { Benchmark, Report, Row } from "./benchmark.js";

/** A table for people: a line for each metric, a column for each peer; a goal that was missed says so. */
export function textTable(rows: readonly Row[]): string {
  const cells = table(rows);
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((row) => row[column]?.length ?? 0)),
  );
  const pad = (cell: string, column: number): string =>
    column === OURS ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  const lines = cells.map((row) => row.map(pad).join("  ").trimEnd());
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  return lines.join("\n");
}

/** The same in Markdown, with what was measured, on what, and how to repeat it. */
export function markdown(benchmark: Benchmark, report: Report, machine: string): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const [headers = [], ...rows] = table(report.rows);
  return [
    benchmark.about,
    "",
    `Measured on ${machine}, by \`npx --yes pnpm@10.34.8 bench ${benchmark.name}\`. ${legend}`,
    "",
    line(headers),
    line(headers.map((_, column) => (column === OURS ? "---:" : "---"))),
    ...rows.map((row) => line(row.map((cell) => cell.replaceAll("|", "\\|")))),
    "",
    ...[...report.setup, ...report.notes].map((text) => `- ${text}`),
  ].join("\n");
}

/** How to read a table. */
export const legend: string =
  "Figures are medians of windows in which the systems took turns; behind a peer's figure is the ratio of ours to it, " +
  "with its least and its greatest value in two windows side by side. Differences below 1.5x are ties.";

const OURS = 2;

function table(rows: readonly Row[]): string[][] {
  const peers = [...new Set(rows.flatMap(({ peer }) => peer ?? []))];
  const metrics = [...new Set(rows.map(({ metric }) => metric))];
  const lines = metrics.map((metric) => {
    const own = rows.filter((row) => row.metric === metric);
    const goals = own.filter(({ goal }) => goal !== null);
    return [
      metric,
      own[0]?.unit ?? "",
      ourCell(own),
      ...peers.map((peer) => peerCell(own.find((row) => row.peer === peer))),
      goals.map(({ goal, met }) => `${goal}: ${met === true ? "met" : "MISSED"}`).join("; "),
    ];
  });
  return [["", "unit", "ours", ...peers, "goal"], ...lines];
}

function ourCell(rows: readonly Row[]): string {
  return figure(rows.find(({ ours }) => ours !== null)?.ours ?? null);
}

function peerCell(row: Row | undefined): string {
  if (row === undefined) return "";
  if (row.ratio === null) return figure(row.theirs);
  const [least, greatest] = row.spread ?? [row.ratio, row.ratio];
  const range = row.runs > 1 ? ` (${figure(least)}-${figure(greatest)})` : "";
  return `${figure(row.theirs)}, ${figure(row.ratio)}x${range}`;
}

/** Short, and never in exponents. */
function figure(value: number | null): string {
  if (value === null) return "-";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(size >= 10 ? 1 : size >= 0.01 || size === 0 ? 2 : 4);
}
