import type { Figure } from './figure.js';
import type { Lab } from './lab.js';

/** One question to the service, and how it is answered. */
export interface Scenario {
  /** What `--only` calls it. */
  readonly name: string;
  readonly title: string;
  run(lab: Lab): Promise<Result>;
}

export interface Result {
  readonly rows: readonly Row[];
  readonly goals?: readonly Goal[];
  /** Sentences that a reader of the table needs. */
  readonly notes?: readonly string[];
}

interface Row {
  readonly who: string;
  /** By heading. Rows of one scenario need not have the same headings. */
  readonly figures: Readonly<Record<string, Figure>>;
}

/** A number that the project has set itself. Missing one is reported and is no failure: machines differ. */
export interface Goal {
  readonly what: string;
  readonly got: number;
  readonly unit: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Without those that no round gave, such as ratios to a contender that did not take part. */
export function figures(all: Readonly<Record<string, Figure | undefined>>): Record<string, Figure> {
  return Object.fromEntries(
    Object.entries(all).flatMap(([heading, value]) => (value ? [[heading, value] as const] : [])),
  );
}

/** A goal, when there is a figure for it. */
export function goal(what: string, got: Figure | undefined, bound: Pick<Goal, 'atLeast' | 'atMost'>): Goal[] {
  return got ? [{ what, got: got.median, unit: got.unit, ...bound }] : [];
}
