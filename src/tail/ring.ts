import { EventRun } from './event.run.js';
import type { FramedEvent } from './frame.js';

/**
 * The newest events of the log, without a gap, bounded by count and by bytes: all with `start < seq <= end`. An
 * event may be larger than the whole ring; then the ring is empty behind it.
 */
export class Ring {
  private events = new EventRun();
  private bytes = 0;
  private endSeq: number;
  /** The events of each tenant and topic. */
  private readonly topics = new Map<string, EventRun>();
  /** The newest event of each tenant, topic and key. */
  private readonly newestOfKey = new Map<string, FramedEvent>();

  /** @param end the seq after which the first event will come */
  constructor(
    private readonly maxEvents: number,
    private readonly maxBytes: number,
    end = 0,
  ) {
    this.endSeq = end;
  }

  get end(): number {
    return this.endSeq;
  }

  get start(): number {
    return this.endSeq - this.events.length;
  }

  /** @throws Error when the event is not the next one */
  push(event: FramedEvent): void {
    if (event.seq !== this.endSeq + 1) throw new Error(`seq ${event.seq} does not follow ${this.endSeq}`);
    this.events.push(event);
    this.endSeq = event.seq;
    this.bytes += event.bytes;
    const topic = nameOf(event.tenant, event.topic);
    const run = this.topics.get(topic);
    if (run) run.push(event);
    else this.topics.set(topic, runOf(event));
    if (event.key !== null) {
      const key = keyOf(event.tenant, event.topic, event.key);
      const older = this.newestOfKey.get(key);
      if (older) older.newer = event;
      this.newestOfKey.set(key, event);
    }
    while (this.events.length > this.maxEvents || this.bytes > this.maxBytes) this.dropOldest();
  }

  /** Drops what is newer than a seq. */
  cut(end: number): void {
    const { start } = this;
    const kept = [];
    for (let seq = start + 1; seq <= end; seq++) kept.push(this.at(seq));
    this.restart(Math.min(start, end));
    for (const event of kept) {
      event.newer = undefined;
      this.push(event);
    }
  }

  /** Forgets everything and goes on after another seq. */
  restart(end: number): void {
    this.events = new EventRun();
    this.bytes = 0;
    this.topics.clear();
    this.newestOfKey.clear();
    this.endSeq = end;
  }

  /** The event with a seq between start and end. */
  at(seq: number): FramedEvent {
    const event = this.events.at(seq - this.start - 1);
    if (!event) throw new RangeError(`seq ${seq} is not between ${this.start} and ${this.endSeq}`);
    return event;
  }

  /** The events of one topic; undefined when the ring has none. */
  ofTopic(tenant: string, topic: string): EventRun | undefined {
    return this.topics.get(nameOf(tenant, topic));
  }

  /** The newest event with this key; undefined when the ring has none. */
  newestWith(tenant: string, topic: string, key: string): FramedEvent | undefined {
    return this.newestOfKey.get(keyOf(tenant, topic, key));
  }

  private dropOldest(): void {
    const oldest = this.events.shift();
    if (!oldest) return;
    this.bytes -= oldest.bytes;
    const topic = nameOf(oldest.tenant, oldest.topic);
    const run = this.topics.get(topic);
    // It is the oldest of its topic too.
    run?.shift();
    if (run?.length === 0) this.topics.delete(topic);
    if (oldest.key === null) return;
    const key = keyOf(oldest.tenant, oldest.topic, oldest.key);
    if (this.newestOfKey.get(key) === oldest) this.newestOfKey.delete(key);
  }
}

function runOf(event: FramedEvent): EventRun {
  const run = new EventRun();
  run.push(event);
  return run;
}

/** Neither a tenant nor a topic holds a space. */
function nameOf(tenant: string, topic: string): string {
  return `${tenant} ${topic}`;
}

function keyOf(tenant: string, topic: string, key: string): string {
  return `${nameOf(tenant, topic)} ${key}`;
}
