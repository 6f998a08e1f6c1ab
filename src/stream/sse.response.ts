import { Logger, type MessageEvent } from '@nestjs/common';
import { Observable, type Observer, Subscription } from 'rxjs';
import { reasonOf } from '../errors/reason.js';
import type { Chunk } from './chunk.js';
import type { Outlet } from './outlet.js';

/** What Nest is told of a stream: a blank comment, the one message to which it adds no id of its own. */
type Opening = Pick<MessageEvent, 'comment'>;

const OPENING: Opening = { comment: '' };
const logger = new Logger('SseResponse');

/**
 * What an `@Sse()` handler returns, so that Nest opens the stream and no more: guards, statuses of errors before the
 * first chunk, headers. Then the response is taken over. What Nest would do to each message of each subscriber
 * (serialise, split, number) was done once for all of them; and what it would keep for each open stream (a transform, a
 * chain of operators, a timer) is let go.
 *
 *     waiting ─ first chunk: Nest sends the headers, its stream is unpiped ─► open ─ last chunk, or client gone ─► over
 */
export function sseResponse(outlet: Outlet, chunks: Observable<Chunk>): Observable<Opening> {
  return new Observable(nest => {
    if (outlet.hasBody) return new SseResponse(nest, outlet).send(chunks);
    nest.complete();
    return undefined;
  });
}

/** One response, from the first chunk on in our hands. */
class SseResponse implements Observer<Chunk> {
  private readonly sending = new Subscription();
  /** Until it is taken over; whoever held on to it later would hold all that it is meant to let go. */
  private nest: Observer<Opening> | undefined;

  constructor(
    nest: Observer<Opening>,
    private readonly outlet: Outlet,
  ) {
    this.nest = nest;
  }

  /** @returns what Nest does when the client leaves before the first chunk */
  send(chunks: Observable<Chunk>): () => void {
    this.sending.add(chunks.subscribe(this));
    return () => {
      if (this.nest) this.sending.unsubscribe();
    };
  }

  next(chunk: Chunk): void {
    if (this.nest) this.takeOver(this.nest);
    this.outlet.write(chunk);
  }

  error(error: unknown): void {
    if (this.nest) {
      this.nest.error(error);
      return;
    }
    logger.error(`a stream broke: ${reasonOf(error)}`);
    this.outlet.cut();
  }

  complete(): void {
    if (this.nest) this.nest.complete();
    else this.outlet.end();
  }

  private takeOver(nest: Observer<Opening>): void {
    this.nest = undefined;
    this.outlet.gather();
    // The headers go out synchronously when Nest sees its first message.
    nest.next(OPENING);
    this.outlet.takeOver();
    this.outlet.onGone(() => {
      this.sending.unsubscribe();
    });
    nest.complete();
  }
}
