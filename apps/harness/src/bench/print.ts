import type { Benchmark, Report, Row } from "./benchmark.js";

const HEADERS = ["", "unit", "ours", "peer", "theirs", "ratio", "spread", "goal"] as const;

/** A table for people; a goal that was missed says so. */
export function textTable(rows: readonly Row[]): string {
  const cells = [[...HEADERS], ...rows.map(rowCells)];
  const widths = HEADERS.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) =>
        isNumeric(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  return lines.join("\n");
}

/** The same in Markdown, with what was measured, on what, and how to repeat it. */
export function markdown(benchmark: Benchmark, report: Report, machine: string): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = HEADERS.map((_, column) => (isNumeric(column) ? "---:" : "---"));
  return [
    benchmark.about,
    "",
    `Measured on ${machine}, by \`npx --yes pnpm@10.34.8 bench ${benchmark.name}\`. ${legend}`,
    "",
    row(HEADERS),
    row(rule),
    ...report.rows.map((each) => row(rowCells(each).map(escapeCell))),
    "",
    ...[...report.setup, ...report.notes].map((line) => `- ${line}`),
  ].join("\n");
}

const legend =
  "Each figure is the median of the counted windows, in which all systems took turns; the ratio is ours to theirs " +
  "(with the least and the greatest of windows side by side as spread); under 1.5x is a tie.";

function isNumeric(column: number): boolean {
  return column === 2 || (column >= 4 && column <= 6);
}

function rowCells(row: Row): string[] {
  const goal = row.goal === null ? "" : `${row.goal}: ${row.met === true ? "met" : "MISSED"}`;
  const spread = row.spread === null ? "" : `${figure(row.spread[0])} - ${figure(row.spread[1])}`;
  const ratio = row.ratio === null ? "" : `${figure(row.ratio)}x`;
  return [row.metric, row.unit, figure(row.ours), row.peer ?? "", figure(row.theirs), ratio, spread, goal];
}

/** Short, and never in exponents. */
function figure(value: number | null): string {
  if (value === null) return "-";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|");
}
