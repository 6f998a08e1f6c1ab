import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { processMetrics } from './process.metrics.js';

/** A text may be so old, in milliseconds: anybody may ask, and with many streams open it takes a while to put together. */
const FRESH_MS = 1_000;

/**
 * What an application tells of itself in numbers, in the text format of Prometheus. The parts that have something to tell
 * register it themselves, so that this knows none of them, and keep it as plain numbers, which are read when somebody asks.
 * Public: no label may name a tenant, a topic or a user, and none may have more values than a table could list.
 */
@Injectable()
export class Metrics {
  private readonly registry = new Registry();
  private latest: Promise<string> | undefined;
  private madeAt = 0;

  /** A state. While it is undefined it is left out. */
  gauge(name: string, help: string, read: () => number | undefined): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  }

  /** What happened since the start. */
  total(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  /** The same by the values of a label. */
  totals(name: string, help: string, label: string, read: () => Readonly<Record<string, number>>): void {
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [value, count] of Object.entries(read())) this.inc({ [label]: value }, count);
      },
    });
  }

  /** What is counted as it happens, by labels. Not for what happens for each event. */
  counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  /** How long something takes, in seconds. The same holds for it. */
  durations(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name, help, buckets, registers: [this.registry] });
  }

  /** All of it, and what there is to say of the process; at most a second old. */
  text(): Promise<string> {
    if (this.latest === undefined || performance.now() - this.madeAt >= FRESH_MS) {
      this.madeAt = performance.now();
      this.latest = this.write();
    }
    return this.latest;
  }

  private async write(): Promise<string> {
    try {
      return (await Promise.all([processMetrics().metrics(), this.registry.metrics()])).join('\n');
    } catch (error) {
      this.latest = undefined;
      throw error;
    }
  }
}
