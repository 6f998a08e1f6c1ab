/** Milliseconds. */
export interface Latency {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Each power of two of microseconds is cut into so many parts: no value is off by more than 1.6 %. */
const PART_BITS = 6;
const PARTS = 1 << PART_BITS;
/** Longest time that is told apart: 2^31 µs, 35 minutes. */
const POWERS = 31 - PART_BITS + 1;

/** Counts times without keeping them. */
export class Histogram {
  private readonly counts = new Uint32Array(POWERS * PARTS);
  private count = 0;
  private max = 0;

  record(ms: number): void {
    const us = Math.max(0, Math.round(ms * 1000)) | 0;
    const shift = Math.max(0, 31 - Math.clz32(us | 1) - PART_BITS);
    // From the second power on the leading bit of the part is always set: half of each row overlaps the one before.
    const index = shift * PARTS + (us >>> shift);
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    this.count++;
    if (ms > this.max) this.max = ms;
  }

  summary(): Latency {
    return {
      count: this.count,
      p50: this.quantile(0.5),
      p90: this.quantile(0.9),
      p99: this.quantile(0.99),
      max: this.max,
    };
  }

  private quantile(share: number): number {
    const rank = Math.ceil(this.count * share);
    let seen = 0;
    for (let index = 0; index < this.counts.length; index++) {
      seen += this.counts[index] ?? 0;
      if (seen >= rank) return Math.min(this.max, upperEdge(index));
    }
    return this.max;
  }
}

function upperEdge(index: number): number {
  // Inverse of the index above; for shift ≥ 1 the part is between PARTS and 2 × PARTS.
  const shift = index < 2 * PARTS ? 0 : Math.floor(index / PARTS) - 1;
  const part = index - shift * PARTS;
  return ((part + 1) * 2 ** shift) / 1000;
}
