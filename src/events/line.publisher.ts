import { Inject, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import type { Caller } from '../access/caller.js';
import { CredentialWatch } from '../access/credential.watch.js';
import { Revocations } from '../access/revocations.js';
import { CONFIG, type Config } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import type { Placed } from '../log/append.batch.js';
import { AppendError } from '../log/append.error.js';
import { formatCursor } from '../log/cursor.js';
import { digestOf } from '../log/digest.js';
import type { NewEvent } from '../log/event.js';
import { liftBodyDeadline } from '../operations/body.deadline.js';
import { readLines } from './ndjson.js';
import { Publisher, toProblem } from './publisher.js';
import { chunksOf, discard, UploadIdle } from './upload.js';

/** What became of an NDJSON upload. */
export interface LinesStored {
  /** Lines that are in the log, those included that were there before under the same key. */
  readonly stored: number;
  /** Cursor of the last of them. */
  readonly last: string | null;
}

/** Publishes an NDJSON upload line by line: each line is acknowledged on its own, in order, up to the first bad one. */
@Injectable()
export class LinePublisher {
  constructor(
    private readonly publisher: Publisher,
    private readonly revocations: Revocations,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * @throws Problem with the line or the end of the credential that stopped it, how many before it are stored, and the last one's cursor
   */
  async publish(caller: Caller, request: Request, idempotencyKey: string | undefined): Promise<LinesStored> {
    const encoding = request.headers['content-encoding'] ?? 'identity';
    if (encoding !== 'identity') {
      throw new Problem('media-type-unsupported', 'Send NDJSON without Content-Encoding.');
    }
    const { uploadIdleMs, maxDataBytes } = this.config;
    let stored = 0;
    let last: string | null = null;
    // It may last for as long as it sends.
    liftBodyDeadline(request);
    const credential = new CredentialWatch(caller, this.revocations);
    try {
      const chunks = chunksOf(request, uploadIdleMs, credential.over);
      for await (const { events, lines, problem } of readLines(chunks, maxDataBytes)) {
        credential.requireGood();
        for (let done = 0; done < events.length;) {
          const result = await this.publishSome(
            caller.tenant,
            events.slice(done),
            lines.slice(done),
            idempotencyKey,
          );
          const { placed } = result;
          const newest = placed.at(-1);
          if (newest) last = formatCursor(newest.epoch, newest.seq);
          stored += placed.length;
          done += placed.length;
          if (result.error) throw toProblem(result.error, { line: lines[done] ?? 0, stored, last });
        }
        if (problem) throw problem.with({ stored, last });
      }
    } catch (error) {
      if (error instanceof UploadIdle) {
        throw new Problem(
          'body-timeout',
          `Send something at least every ${uploadIdleMs} ms, and the lines after the stored ones again.`,
          { stored, last },
        );
      }
      if (error instanceof Problem && error === credential.over.reason) throw error.with({ stored, last });
      if (error instanceof Problem || !request.readableAborted) throw error;
      throw new Problem('body-invalid', 'The upload broke off before its end.', {
        stored,
        last,
        cause: error,
      });
    } finally {
      credential.stop();
      discard(request, uploadIdleMs);
    }
    return { stored, last };
  }

  /**
   * Publishes lines together. When one of them is refused none is stored; then those before it are published
   * again without it, so that exactly what the answer counts is in the log.
   */
  private async publishSome(
    tenant: string,
    events: readonly NewEvent[],
    lines: readonly number[],
    key: string | undefined,
  ): Promise<{ placed: Placed[]; error?: AppendError }> {
    try {
      const idempotency =
        key === undefined
          ? undefined
          : { key, places: lines.map(line => line - 1), digests: events.map(event => digestOf(event)) };
      return { placed: await this.publisher.publish(tenant, events, idempotency) };
    } catch (error) {
      if (!(error instanceof AppendError)) throw error;
      const isOneLines = error.failure === 'idempotency-mismatch' || error.failure === 'data-refused';
      if (!isOneLines || events.length === 1) return { placed: [], error };
      const good = error.index ?? Math.floor(events.length / 2);
      if (good === 0) return { placed: [], error };
      const { placed, error: earlier } = await this.publishSome(
        tenant,
        events.slice(0, good),
        lines.slice(0, good),
        key,
      );
      if (earlier) return { placed, error: earlier };
      return error.index === undefined ? { placed } : { placed, error };
    }
  }
}
