import { mkdir, writeFile } from 'node:fs/promises';
import type { Figure } from './figure.js';
import type { Failure } from './lab.js';
import type { Machine } from './machine.js';
import type { Goal, Result } from './scenario.js';
import type { Settings } from './settings.js';

export interface Report {
  readonly startedAt: string;
  readonly minutes: number;
  readonly settings: Settings;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  /** By name of the contender, the reason. */
  readonly skipped: Readonly<Record<string, string>>;
  readonly scenarios: readonly ({ readonly name: string; readonly title: string } & Result)[];
  readonly failures: readonly Failure[];
}

export async function writeReport(folder: URL, report: Report): Promise<URL> {
  await mkdir(folder, { recursive: true });
  const file = new URL('latest.json', folder);
  await writeFile(file, `${JSON.stringify(report, undefined, 2)}\n`);
  await writeFile(new URL('latest.md', folder), report.scenarios.map(toMarkdown).join('\n'));
  return file;
}

/** For documents: the same table as Markdown, which Prettier aligns. */
function toMarkdown({ title, rows }: Report['scenarios'][number]): string {
  const [head = [], ...lines] = tableOf(rows);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  const rule = head.map((_, column) => (column === 0 ? '---' : '--:'));
  const body = lines.map(([heading = '', ...figures]) => [
    heading.replace(/^ +/, '&nbsp;&nbsp;'),
    ...figures,
  ]);
  return `## ${title}\n\n${[head, rule, ...body].map(line).join('')}`;
}

/** For people: a line per contender and figure, as `median (min–max)`. */
export function formatResult(
  title: string,
  { rows, goals = [], notes = [] }: Result,
  skipped: Readonly<Record<string, string>>,
): string {
  const lines = [`\n${title}`];
  lines.push(...align(tableOf(rows)), ...goals.map(formatGoal), ...notes.map(note => `  ${note}`));
  for (const [who, why] of Object.entries(skipped)) lines.push(`  skipped  ${who}: ${why}`);
  return lines.join('\n');
}

/** A line for each figure, a column for each contender, headings first. */
function tableOf(rows: Result['rows']): string[][] {
  const headings = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  return [
    ['', ...rows.map(({ who }) => who)],
    ...headings.map(heading => [heading, ...rows.map(({ figures }) => formatFigure(figures[heading]))]),
  ];
}

function goalIsReached({ got, atLeast = -Infinity, atMost = Infinity }: Goal): boolean {
  return got >= atLeast && got <= atMost;
}

function formatGoal(goal: Goal): string {
  const { what, got, unit, atLeast, atMost } = goal;
  const wanted = atLeast === undefined ? `at most ${atMost ?? '?'}` : `at least ${atLeast}`;
  return `  ${goalIsReached(goal) ? 'reached' : 'MISSED '}  ${what}: ${format(got)} ${unit}, wanted ${wanted} ${unit}`;
}

function formatFigure(figure: Figure | undefined): string {
  if (!figure) return '–';
  const { median, min, max, unit } = figure;
  return `${format(median)}${unit && ` ${unit}`} (${format(min)}–${format(max)})`;
}

/** Three digits: more would not be the same the next time. */
function format(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value === 0 ? '0' : Number(value.toPrecision(3)).toLocaleString('en');
}

function align(table: readonly (readonly string[])[]): string[] {
  const widths = table[0]?.map((_, column) => Math.max(...table.map(row => row[column]?.length ?? 0))) ?? [];
  return table.map(row =>
    `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')}`.trimEnd(),
  );
}
