import type { FramedEvent } from './frame.js';

/** Some events of the log, oldest first: new ones come in at the end, and the oldest are dropped. */
export class EventRun {
  /** Events behind `first` slots that are free already. */
  private slots: (FramedEvent | undefined)[] = [];
  private first = 0;

  get length(): number {
    return this.slots.length - this.first;
  }

  /** @param index from 0, the oldest */
  at(index: number): FramedEvent | undefined {
    return this.slots[this.first + index];
  }

  push(event: FramedEvent): void {
    this.slots.push(event);
  }

  shift(): FramedEvent | undefined {
    const oldest = this.slots[this.first];
    this.slots[this.first] = undefined;
    this.first++;
    // Moving what is left, once it is the smaller half, costs each event one copy in its life.
    if (this.first * 2 > this.slots.length) {
      this.slots = this.slots.slice(this.first);
      this.first = 0;
    }
    return oldest;
  }

  /** The index of the first event after a seq; the length when there is none. */
  after(seq: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.at(middle)?.seq ?? Infinity) <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
