import { createHash } from 'node:crypto';
import type { NewEvent } from './event.js';

/**
 * What an event or a request said, in 22 characters: 128 bits of SHA-256, enough to tell a repeat from another
 * body sent under the same key.
 */
export function digestOf(...events: readonly NewEvent[]): string {
  const hash = createHash('sha256');
  for (const { topic, type, key, expiresAt, dedupeId, data } of events) {
    // A JSON array is unambiguous: no value can run into the next.
    hash.update(JSON.stringify([topic, type, key, expiresAt, dedupeId, data]));
  }
  return hash.digest('base64url').slice(0, 22);
}
