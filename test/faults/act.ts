import { expect } from '@jest/globals';
import { percentile } from '../../bench/percentile.js';
import { isDense, type StoredEvent } from '../log/stored.js';

/** What one transaction, or one request, published. */
export interface Act {
  /** Its publisher's own. */
  readonly topic: string;
  /** In the order of the calls; no number twice under a topic. */
  readonly data: readonly number[];
  /** Just before the first of it was sent, by the monotonic clock, in milliseconds. */
  readonly beganAt: number;
  /** When the commit, or the request, was acknowledged. */
  readonly endedAt: number;
}

/** Fails unless the log has what was published, once, and in order: of each publisher, and of time. */
export function areServed(acts: readonly Act[], log: readonly StoredEvent[]): void {
  expect(isDense(log)).toBe(true);
  expect(misplaced(acts, log)).toEqual([]);
  expect(overtaken(acts, log)).toEqual([]);
}

/** Topics under which the log has other numbers than were published, or has them in another order. */
function misplaced(acts: readonly Act[], log: readonly StoredEvent[]): string[] {
  const published = numbersBy(acts, ({ data }) => data);
  const stored = numbersBy(log, ({ data }) => [data as number]);
  return [...new Set([...published.keys(), ...stored.keys()])].flatMap(topic => {
    const [wanted, found] = [published.get(topic) ?? [], stored.get(topic) ?? []];
    const length = Math.max(wanted.length, found.length);
    for (let n = 0; n < length; n++) {
      if (wanted[n] !== found[n]) return [`${topic}, place ${n}: ${found[n]} instead of ${wanted[n]}`];
    }
    return [];
  });
}

/** Those that come before something that had been acknowledged before they began. */
function overtaken(acts: readonly Act[], log: readonly StoredEvent[]): string[] {
  const seqs = new Map(log.map(({ topic, data, seq }) => [`${topic} ${data}`, seq]));
  // Of one publisher they are in order, which was looked at before.
  const seqOf = ({ topic, data }: Act, place: number) => seqs.get(`${topic} ${data.at(place)}`)!;
  const ended = [...acts].sort((a, b) => a.endedAt - b.endedAt);
  const found: string[] = [];
  let newest = 0;
  let next = 0;
  for (const act of [...acts].sort((a, b) => a.beganAt - b.beganAt)) {
    for (; ended[next] && ended[next]!.endedAt < act.beganAt; next++) {
      newest = Math.max(newest, seqOf(ended[next]!, -1));
    }
    const first = seqOf(act, 0);
    if (first < newest) found.push(`${act.topic} ${act.data[0]} is ${first}, and ${newest} was there before`);
  }
  return found;
}

function numbersBy<T extends { readonly topic: string }>(
  all: readonly T[],
  numbers: (one: T) => readonly number[],
): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const one of all) {
    const numbersOfTopic = found.get(one.topic) ?? [];
    for (const n of numbers(one)) numbersOfTopic.push(n);
    found.set(one.topic, numbersOfTopic);
  }
  return found;
}

/** Of so many parts of a time each has its own p99: what slows the machine down for a moment hits one of them. */
const PARTS = 6;

export interface Delay {
  /** When it began or ended, by the monotonic clock, in milliseconds. */
  readonly at: number;
  readonly ms: number;
}

/** The p99 of delays, in milliseconds: the median of those of the parts of some spans of time, which are taken as one. */
export function usualP99(delays: readonly Delay[], ...spans: readonly (readonly [number, number])[]): number {
  const parts = spans.flatMap(([from, to]) =>
    Array.from({ length: PARTS }, (_, part) => {
      const [first, last] = [part, part + 1].map(n => from + ((to - from) * n) / PARTS) as [number, number];
      return percentile(
        delays.filter(({ at }) => at >= first && at < last).map(({ ms }) => ms),
        0.99,
      );
    }),
  );
  // Nobody was served in one of them.
  return parts.includes(NaN) ? Infinity : percentile(parts, 0.5);
}
