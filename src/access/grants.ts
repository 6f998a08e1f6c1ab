import { kindOf } from '../log/topic.js';
import type { Caller } from './caller.js';

/**
 * True when the caller may read everything that `pattern` stands for: an exact topic, `kind:*` or `*`. A wildcard
 * needs a wildcard: a caller with some topics of a kind may not ask for all of it.
 */
export function mayRead(caller: Caller, pattern: string): boolean {
  if (caller.wildcards.includes('*')) return true;
  if (pattern === '*') return false;
  const kind = kindOf(pattern);
  if (kind !== '' && caller.wildcards.includes(`${kind}:*`)) return true;
  return caller.topics.includes(pattern);
}
