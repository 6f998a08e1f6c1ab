/** How many are answered in one turn of the event loop. */
const PER_TURN = 20;

/** Lets many that were woken together be answered a few at a time: nobody else waits until all are, and no memory holds all. */
export class Turns {
  private readonly queue: (() => void)[] = [];

  /** Resolves in a later turn of the event loop, in the order of the calls. */
  next(): Promise<void> {
    return new Promise(resolve => {
      if (this.queue.push(resolve) === 1) setImmediate(this.run);
    });
  }

  private readonly run = (): void => {
    for (const goOn of this.queue.splice(0, PER_TURN)) goOn();
    if (this.queue.length > 0) setImmediate(this.run);
  };
}
