import express, { type Request, type Response } from 'express';
import { isUtf8 } from 'node:buffer';
import { Problem } from '../errors/problem.js';
import type { NewEvent } from '../log/event.js';
import { parseEvent } from './event.parser.js';
import { rawMembers, type RawValue } from './raw.json.js';

/** Events in one JSON request. */
export const MAX_EVENTS = 1_000;

/** Reads a whole body, inflated if need be; rejects with a Problem when it is too large, breaks off or cannot be. */
export type BodyReader = (request: Request, response: Response) => Promise<Buffer>;

export function bodyReader(maxBytes: number): BodyReader {
  const read = express.raw({ type: () => true, limit: maxBytes });
  return (request, response) =>
    new Promise((resolve, reject) => {
      read(request, response, (error?: unknown) => {
        const body: unknown = request.body;
        if (error) reject(toProblem(error));
        else resolve(Buffer.isBuffer(body) ? body : Buffer.alloc(0));
      });
    });
}

/** Of the body, without parameters, in lower case (RFC 9110, section 8.3.1). */
export function mediaTypeOf({ headers }: Pick<Request, 'headers'>): string | undefined {
  return headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
}

/** An error of body-parser has the status that is to be answered; Nest knows it only from a middleware. */
function toProblem(error: unknown): Error {
  switch (error instanceof Error && 'status' in error ? error.status : undefined) {
    case 413:
      return new Problem('body-too-large', undefined, { cause: error });
    case 415:
      return new Problem(
        'media-type-unsupported',
        'Send the body as it is, or with Content-Encoding gzip, deflate or br.',
        { cause: error },
      );
    case 400:
      return new Problem('body-invalid', 'The body broke off, or is not in its Content-Encoding.', {
        cause: error,
      });
    default:
      return error instanceof Error ? error : new Error('the body could not be read', { cause: error });
  }
}

/**
 * The events of a JSON body: one event, an array of them, or `{"events": […]}`.
 *
 * @param maxDataBytes of the data of each
 * @throws Problem naming the first event that is wrong, by its index
 */
export function parseBody(body: Buffer, maxDataBytes: number): NewEvent[] {
  return readItems(body, 'events').map(({ value, data }, index) =>
    parseEvent(value, data, { index }, maxDataBytes),
  );
}

/**
 * The items of a JSON body: one, an array of them, or `{"<name>": […]}`; each with the text of its data.
 *
 * @throws Problem when it is none of these, or has too many
 */
export function readItems(
  body: Buffer,
  name: 'events' | 'notifications',
): { value: unknown; data: RawValue | undefined }[] {
  if (!isUtf8(body)) throw new Problem('body-invalid', 'Send the body in UTF-8.');
  const text = body.toString();
  const values = itemsOf(parseJson(text), name);
  if (values.length > MAX_EVENTS) {
    const split = name === 'events' ? 'split it, or stream application/x-ndjson' : 'split it';
    throw new Problem(
      'events-too-many',
      `The request has ${values.length} ${name} and may have ${MAX_EVENTS}: ${split}.`,
    );
  }
  const data = rawMembers(text, 'data', name);
  return values.map((value, index) => ({ value, data: data[index] }));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'it cannot be parsed';
    throw new Problem('json-invalid', `The body is not JSON: ${reason}.`);
  }
}

function itemsOf(value: unknown, name: string): unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value !== 'object' || value === null) {
    throw new Problem(
      'body-invalid',
      `Send ${name === 'events' ? 'an event' : 'a notification'}, an array of ${name}, or {"${name}": […]}.`,
    );
  }
  if (!(name in value)) return [value];
  const items = (value as Record<string, unknown>)[name];
  if (!Array.isArray(items)) throw new Problem('body-invalid', `"${name}" is an array of ${name}.`);
  return items;
}
