import type { FramedEvent } from '../tail/frame.js';

/**
 * Some events of one tail batch, in order, for whoever wants exactly these. Subscribers that want the same events
 * walk the same path of bundles and so share one Buffer, which is concatenated once.
 */
export class Bundle {
  private readonly buffers = new Map<boolean, Buffer>();
  private longer: Bundle | undefined;

  private constructor(
    /** The last event; undefined in the empty bundle that a batch begins with. */
    readonly event: FramedEvent | undefined,
    private readonly before: Bundle | undefined,
  ) {}

  static empty(): Bundle {
    return new Bundle(undefined, undefined);
  }

  /** This bundle and one more event. A batch goes through its events one by one, so only the last is remembered. */
  with(event: FramedEvent): Bundle {
    if (this.longer?.event !== event) this.longer = new Bundle(event, this);
    return this.longer;
  }

  /** The frames, with or without their `event:` lines. */
  bytes(named: boolean): Buffer {
    let buffer = this.buffers.get(named);
    if (!buffer) {
      const frames = this.frames(named);
      buffer = frames.length === 1 && frames[0] ? frames[0] : Buffer.concat(frames);
      this.buffers.set(named, buffer);
    }
    return buffer;
  }

  private frames(named: boolean): Buffer[] {
    if (!this.event) return [];
    const frames = this.before?.frames(named) ?? [];
    frames.push(named ? this.event.frame : this.event.unnamedFrame);
    return frames;
  }
}
