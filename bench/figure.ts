/** One quantity as the rounds gave it. */
export interface Figure {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  /** One per round, in order. */
  readonly values: readonly number[];
}

export function figure(values: readonly number[], unit: string): Figure {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), unit, values };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}
