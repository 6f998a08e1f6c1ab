import {
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type MessageEvent,
  type NestInterceptor,
} from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { Observable } from 'rxjs';
import type { Chunk } from './chunk.js';
import { Outlet } from './outlet.js';

/** A blank comment: the one message to which Nest adds no id of its own. */
const OPENING: Pick<MessageEvent, 'comment'> = { comment: '' };

/**
 * Writes the chunks of an `@Sse()` handler to the socket as they are. Nest keeps what it does well: guards,
 * statuses of errors before the first frame, headers, noticing that the client left, and the end of the response.
 * What it would do to each message of each subscriber (serialise, split, number) was done once for all of them.
 */
@Injectable()
export class SseInterceptor implements NestInterceptor<Chunk, Pick<MessageEvent, 'comment'>> {
  intercept(context: ExecutionContext, next: CallHandler<Chunk>): Observable<Pick<MessageEvent, 'comment'>> {
    const response = context.switchToHttp().getResponse<ServerResponse>();
    const outlet = Outlet.of(response);
    return new Observable(observer =>
      next.handle().subscribe({
        next: chunk => {
          // Nest sends the headers, synchronously, when it sees the first message.
          if (!response.headersSent) observer.next(OPENING);
          outlet.write(chunk);
        },
        error: (error: unknown) => {
          observer.error(error);
        },
        complete: () => {
          observer.complete();
        },
      }),
    );
  }
}
