import { Injectable } from '@nestjs/common';
import { Problem } from '../errors/problem.js';
import type { Idempotency, Placed } from '../log/append.batch.js';
import { AppendError } from '../log/append.error.js';
import { formatCursor } from '../log/cursor.js';
import { Appender } from '../log/appender.js';
import { digestOf } from '../log/digest.js';
import { Epochs } from '../log/epochs.js';
import type { NewEvent } from '../log/event.js';

/** Appends the events of one request, and says in HTTP's terms why not. */
@Injectable()
export class Publisher {
  constructor(
    private readonly appender: Appender,
    private readonly epochs: Epochs,
  ) {}

  /**
   * Publishes a whole request, all of it or nothing.
   *
   * @throws Problem when it is not stored, or not certainly so
   */
  async publishRequest(
    tenant: string,
    events: readonly NewEvent[],
    key: string | undefined,
  ): Promise<{ id: string; duplicate: boolean }[]> {
    const idempotency = key === undefined ? undefined : wholeRequest(key, events);
    try {
      const placed = await this.publish(tenant, events, idempotency);
      return placed.map(({ epoch, seq, duplicate }) => ({ id: formatCursor(epoch, seq), duplicate }));
    } catch (error) {
      if (!(error instanceof AppendError)) throw error;
      throw toProblem(error, error.index === undefined ? {} : { index: error.index });
    }
  }

  /**
   * @returns where each event is, in order, once all are committed
   * @throws AppendError when none is stored, or not certainly so
   */
  async publish(
    tenant: string,
    events: readonly NewEvent[],
    idempotency: Idempotency | undefined,
  ): Promise<Placed[]> {
    if (events.length === 0) return [];
    const { unique, originals } = withoutRepeats(events);
    const request = {
      tenant,
      events: pick(events, unique),
      idempotency: idempotency && {
        key: idempotency.key,
        places: pick(idempotency.places, unique),
        digests: pick(idempotency.digests, unique),
      },
    };
    const placed = await this.appender.append(request).catch((error: unknown) => {
      throw error instanceof AppendError ? blaming(error, unique) : error;
    });
    return pick(placed, originals).map(({ epoch, seq, duplicate }, index) => ({
      epoch: this.epochs.epochOf(seq, epoch),
      seq,
      duplicate: duplicate || unique[originals[index] ?? 0] !== index,
    }));
  }
}

/** Under the key of a JSON request every event stands for all of them: with one changed, it is another request. */
function wholeRequest(key: string, events: readonly NewEvent[]): Idempotency {
  const digest = digestOf(...events);
  return { key, places: events.map((_, index) => index), digests: events.map(() => digest) };
}

function pick<Item>(items: readonly Item[], indexes: readonly number[]): Item[] {
  return indexes.map(index => {
    if (!(index in items)) throw new RangeError(`there is no item ${index}`);
    return items[index] as Item;
  });
}

/**
 * Sorts out events that repeat the dedupeId of an earlier one of the same request.
 *
 * @returns the indexes of the events to append, and for each event its place among them
 */
function withoutRepeats(events: readonly NewEvent[]): { unique: number[]; originals: number[] } {
  const seen = new Map<string, { place: number; digest: string }>();
  const unique: number[] = [];
  const originals = events.map((event, index) => {
    const first = event.dedupeId === null ? undefined : seen.get(event.dedupeId);
    if (first) {
      if (first.digest !== digestOf(event)) {
        throw new AppendError('idempotency-mismatch', 'a dedupeId is used twice, with another body', index);
      }
      return first.place;
    }
    if (event.dedupeId !== null) seen.set(event.dedupeId, { place: unique.length, digest: digestOf(event) });
    return unique.push(index) - 1;
  });
  return { unique, originals };
}

/** The error with its index among all events of the request, not only among those that were appended. */
function blaming(error: AppendError, unique: readonly number[]): AppendError {
  const { failure, message, index, cause } = error;
  return index === undefined ? error : new AppendError(failure, message, unique[index], { cause });
}

/** @param at members of the answer that only its request knows, and what it calls the culprit */
export function toProblem(
  error: AppendError,
  at: { index?: number; line?: number; stored?: number; last?: string | null } = {},
): Problem {
  const options = { ...at, cause: error };
  switch (error.failure) {
    case 'idempotency-mismatch':
      return new Problem('idempotency-mismatch', undefined, options);
    case 'data-refused':
      return new Problem('data-invalid', 'The database refuses the data of this event.', options);
    case 'outcome-unknown':
      return new Problem(error.failure, undefined, options);
    case 'queue-full':
    case 'shutting-down':
    case 'database-unavailable':
      return new Problem(
        error.failure,
        at.line === undefined ? undefined : 'Send the line named by "line" and those after it again later.',
        options,
      );
  }
}
