import type { FramedEvent } from './frame.js';

/**
 * The newest events of the log, without a gap, bounded by count and by bytes: all with `start < seq <= end`. An
 * event may be larger than the whole ring; then the ring is empty behind it.
 */
export class Ring {
  /** Events, oldest first, behind `first` slots that are free already. */
  private slots: (FramedEvent | undefined)[] = [];
  private first = 0;
  private bytes = 0;
  private endSeq: number;
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
    return this.endSeq - (this.slots.length - this.first);
  }

  /** @throws Error when the event is not the next one */
  push(event: FramedEvent): void {
    if (event.seq !== this.endSeq + 1) throw new Error(`seq ${event.seq} does not follow ${this.endSeq}`);
    this.slots.push(event);
    this.endSeq = event.seq;
    this.bytes += event.bytes;
    const key = keyOf(event);
    if (key !== undefined) {
      const older = this.newestOfKey.get(key);
      if (older) older.newer = event;
      this.newestOfKey.set(key, event);
    }
    while (this.slots.length - this.first > this.maxEvents || this.bytes > this.maxBytes) this.dropOldest();
  }

  /** Forgets everything and goes on after another seq. */
  restart(end: number): void {
    this.slots = [];
    this.first = 0;
    this.bytes = 0;
    this.newestOfKey.clear();
    this.endSeq = end;
  }

  /** The event with a seq between start and end. */
  at(seq: number): FramedEvent {
    const event = this.slots[this.first + (seq - this.start - 1)];
    if (!event) throw new RangeError(`seq ${seq} is not between ${this.start} and ${this.endSeq}`);
    return event;
  }

  private dropOldest(): void {
    const oldest = this.slots[this.first];
    if (!oldest) return;
    this.bytes -= oldest.bytes;
    const key = keyOf(oldest);
    if (key !== undefined && this.newestOfKey.get(key) === oldest) this.newestOfKey.delete(key);
    this.slots[this.first] = undefined;
    this.first++;
    // Moving what is left, once it is the smaller half, costs each event one copy in its life.
    if (this.first * 2 > this.slots.length) {
      this.slots = this.slots.slice(this.first);
      this.first = 0;
    }
  }
}

function keyOf({ tenant, topic, key }: FramedEvent): string | undefined {
  // Neither a tenant nor a topic holds a space.
  return key === null ? undefined : `${tenant} ${topic} ${key}`;
}
