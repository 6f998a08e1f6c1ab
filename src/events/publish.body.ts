import express, { type Request, type Response } from 'express';
import { isUtf8 } from 'node:buffer';
import { Problem } from '../errors/problem.js';
import type { NewEvent } from '../log/event.js';
import { parseEvent } from './event.parser.js';
import { rawMembers } from './raw.json.js';

/** Events in one JSON request. */
const MAX_EVENTS = 1_000;

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
  if (!isUtf8(body)) throw new Problem('body-invalid', 'Send the body in UTF-8.');
  const text = body.toString();
  const values = eventsOf(parseJson(text));
  if (values.length > MAX_EVENTS) {
    throw new Problem(
      'events-too-many',
      `The request has ${values.length} events and may have ${MAX_EVENTS}: split it, or stream application/x-ndjson.`,
    );
  }
  const data = rawMembers(text, 'data');
  return values.map((value, index) => parseEvent(value, data[index], { index }, maxDataBytes));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'it cannot be parsed';
    throw new Problem('json-invalid', `The body is not JSON: ${reason}.`);
  }
}

function eventsOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value !== 'object' || value === null) {
    throw new Problem('body-invalid', 'Send an event, an array of events, or {"events": […]}.');
  }
  if (!('events' in value)) return [value];
  if (!Array.isArray(value.events)) throw new Problem('body-invalid', '"events" is an array of events.');
  return value.events;
}
