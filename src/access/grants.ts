import { Problem } from '../errors/problem.js';
import { isTopic, isWildcard, kindOf } from '../log/topic.js';
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

/**
 * The caller with these topics and no others, and without scopes.
 *
 * @throws Problem `topic-forbidden` naming the first that the caller may not read itself
 */
export function narrowed(caller: Caller, patterns: readonly string[]): Caller {
  for (const pattern of patterns) requireRead(caller, pattern);
  return {
    ...caller,
    scopes: new Set(),
    topics: patterns.filter(isTopic),
    wildcards: patterns.filter(isWildcard),
  };
}

/** @throws Problem `topic-forbidden` */
export function requireRead(caller: Caller, pattern: string): void {
  if (mayRead(caller, pattern)) return;
  throw new Problem('topic-forbidden', `The credential does not grant the topic "${pattern}".`, {
    topic: pattern,
  });
}
