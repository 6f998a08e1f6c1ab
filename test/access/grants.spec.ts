import { describe, expect, it } from '@jest/globals';

import type { Caller } from '../../src/access/caller.js';
import { mayRead } from '../../src/access/grants.js';

function caller(topics: string[], wildcards: string[] = []): Caller {
  return { tenant: 'default', sub: '42', scopes: new Set(), topics, wildcards, expiresAt: 0 };
}

describe('a caller may read', () => {
  it.each([
    ['a topic that is granted', caller(['user:42', 'all']), 'user:42', true],
    ['"all" where it is granted', caller(['all']), 'all', true],
    ['not a topic that is not granted', caller(['user:42']), 'user:4', false],
    ['not a whole kind for one topic of it', caller(['room:9']), 'room:*', false],
    ['not everything for some topics', caller(['room:9'], ['room:*']), '*', false],
    ['each topic of a kind that is granted', caller([], ['room:*']), 'room:9', true],
    ['a whole kind that is granted', caller([], ['room:*']), 'room:*', true],
    ['not a kind that only begins alike', caller([], ['room:*']), 'rooms:9', false],
    ['not "all" by way of a kind', caller([], ['room:*']), 'all', false],
    ['everything, when everything is granted', caller([], ['*']), '*', true],
    ['any kind, when everything is granted', caller([], ['*']), 'job:*', true],
    ['"all", when everything is granted', caller([], ['*']), 'all', true],
  ])('%s', (_what, who, pattern, expected) => {
    expect(mayRead(who, pattern)).toBe(expected);
  });
});
