import type { FramedEvent } from '../tail/frame.js';
import { Chunk } from './chunk.js';

/**
 * Some events in order, for whoever wants exactly these. In a batch of the tail, subscribers that want the same events
 * walk the same path of bundles and so share one chunk, which is concatenated once.
 */
export class Bundle {
  private named: Chunk | undefined;
  private unnamed: Chunk | undefined;
  private longer: Bundle | undefined;

  private constructor(
    /** The last event; undefined in the empty bundle that all begin with. */
    readonly event: FramedEvent | undefined,
    private readonly before: Bundle | undefined,
    readonly size: number,
  ) {}

  static of(events: readonly FramedEvent[]): Bundle {
    return events.reduce<Bundle>((bundle, event) => bundle.with(event), Bundle.empty());
  }

  static empty(): Bundle {
    return new Bundle(undefined, undefined, 0);
  }

  /** This bundle and one more event. A batch goes through its events one by one, so only the last is remembered. */
  with(event: FramedEvent): Bundle {
    if (this.longer?.event !== event) this.longer = new Bundle(event, this, this.size + 1);
    return this.longer;
  }

  /** The frames, with or without their `event:` lines. */
  chunk(named: boolean): Chunk {
    if (named) return (this.named ??= this.concatenate(true));
    return (this.unnamed ??= this.concatenate(false));
  }

  private concatenate(named: boolean): Chunk {
    if (this.size === 1 && this.event) return new Chunk(frameOf(this.event, named));
    return new Chunk(Buffer.concat(Bundle.framesOf(this, named)));
  }

  private static framesOf(last: Bundle, named: boolean): Buffer[] {
    const frames: Buffer[] = [];
    for (let bundle: Bundle | undefined = last; bundle?.event; bundle = bundle.before) {
      frames.push(frameOf(bundle.event, named));
    }
    return frames.reverse();
  }
}

function frameOf(event: FramedEvent, named: boolean): Buffer {
  return named ? event.frame : event.unnamedFrame;
}
