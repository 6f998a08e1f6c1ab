import type { BelfryEvent, Block } from './event.js';

/**
 * What a `for await` has not taken yet. It holds as many events as its limit says and asks for no more until one is
 * taken; blocks that only move the cursor wait among them, so that the cursor passes nothing that was not taken.
 */
export class EventQueue implements AsyncIterator<BelfryEvent, undefined> {
  private blocks: Block[] = [];
  private events = 0;
  private isOver = false;
  private failure: Error | undefined;
  /** The reader who waits for an event. */
  private waiting:
    | { resolve: (result: IteratorResult<BelfryEvent, undefined>) => void; reject: (error: Error) => void }
    | undefined;
  /** The writer who waits for room. */
  private room: { readonly made: Promise<void>; readonly make: () => void } | undefined;

  constructor(
    private readonly limit: number,
    /** Called when the cursor may move there. */
    private readonly passed: (cursor: string) => void,
    /** Called when the loop ends before the stream does. */
    private readonly left: () => void,
  ) {}

  /** @returns a promise when it is full: the next block is due when that resolves */
  put(block: Block): void | Promise<void> {
    if (this.isOver) return;
    this.blocks.push(block);
    if (block.kind === 'event') this.events += 1;
    this.serve();
    if (this.events < this.limit) return;
    this.room ??= newRoom();
    return this.room.made;
  }

  /** What is held can still be taken; with an error the loop throws it afterwards. */
  end(error?: Error): void {
    if (this.isOver) return;
    this.isOver = true;
    this.failure = error;
    this.serve();
    this.makeRoom();
  }

  next(): Promise<IteratorResult<BelfryEvent, undefined>> {
    return new Promise((resolve, reject) => {
      // A reader that asks twice at once would be two readers.
      if (this.waiting) reject(new TypeError('Wait for the last event before you ask for the next.'));
      else {
        this.waiting = { resolve, reject };
        this.serve();
      }
    });
  }

  return(): Promise<IteratorResult<BelfryEvent, undefined>> {
    this.drop();
    this.left();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Nothing that is held will be taken. */
  drop(): void {
    this.blocks = [];
    this.events = 0;
    this.end();
  }

  private serve(): void {
    const event = this.shift(this.waiting !== undefined);
    if (!this.waiting) return;
    const { resolve, reject } = this.waiting;
    if (event) {
      this.waiting = undefined;
      resolve({ done: false, value: event });
    } else if (this.isOver) {
      this.waiting = undefined;
      const { failure } = this;
      this.failure = undefined;
      if (failure) reject(failure);
      else resolve({ done: true, value: undefined });
    }
  }

  /** Passes the blocks that nobody has to take, and takes the event after them if somebody wants it. */
  private shift(isWanted: boolean): BelfryEvent | undefined {
    let count = 0;
    let event: BelfryEvent | undefined;
    for (const block of this.blocks) {
      if (block.kind === 'event') {
        if (!isWanted || event) break;
        event = block.event;
      } else if (event) break;
      count += 1;
      if (block.id !== undefined) this.passed(block.id);
    }
    if (count > 0) this.blocks.splice(0, count);
    if (event) {
      this.events -= 1;
      this.makeRoom();
    }
    return event;
  }

  private makeRoom(): void {
    this.room?.make();
    this.room = undefined;
  }
}

function newRoom() {
  let make!: () => void;
  const made = new Promise<void>(resolve => {
    make = resolve;
  });
  return { made, make };
}
