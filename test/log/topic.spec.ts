import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isTopic, isWildcard, kindOf, topicFor } from '../../src/log/topic.js';

/** Names as tokens carry them: any text, and often text that looks like an encoding of other text. */
const name = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
  fc.string({ unit: fc.constantFrom('%', '2', '5', 'a', 'A', ' ', ':', '*', 'é', '!'), minLength: 1 }),
);

describe('a topic', () => {
  it.each(['user:42', 'all', 'a:b', 'job:7f3', 'room:a/b@c|d+e=f', 'x.y_z~-:%20', `k:${'x'.repeat(198)}`])(
    'is %j',
    topic => {
      expect(isTopic(topic)).toBe(true);
    },
  );

  it.each([
    '',
    ':',
    'user',
    'user:',
    ':42',
    'a:b:c',
    'user:*',
    '*',
    'user:4 2',
    'user:é',
    'user:4\n',
    '\nuser:4',
    'user:"4"',
    'ALL',
    `k:${'x'.repeat(199)}`,
  ])('is not %j', topic => {
    expect(isTopic(topic)).toBe(false);
  });
});

describe('a wildcard', () => {
  it.each(['*', 'user:*', 'a.b:*'])('is %j', pattern => {
    expect(isWildcard(pattern)).toBe(true);
  });

  it.each(['', '**', '*:*', 'user:4*', 'user*', ':*', 'user:**', 'a:b:*', 'user:42', 'all', 'all:'])(
    'is not %j',
    pattern => {
      expect(isWildcard(pattern)).toBe(false);
    },
  );

  it('is never a topic', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', ':', '*', '.'), maxLength: 8 }), text => {
        expect(isTopic(text) && isWildcard(text)).toBe(false);
      }),
    );
  });
});

describe('the kind of a topic', () => {
  it.each([
    ['user:42', 'user'],
    ['user:*', 'user'],
    ['a:b', 'a'],
    ['all', ''],
  ])('of %j is %j', (topic, kind) => {
    expect(kindOf(topic)).toBe(kind);
  });
});

describe('the topic of a name', () => {
  it('keeps names that need no encoding as they are', () => {
    expect(topicFor('user', 'Al.ice_~-/@|+=9')).toBe('user:Al.ice_~-/@|+=9');
  });

  it.each([
    ['a b', 'user:a%20b'],
    ['a:b', 'user:a%3Ab'],
    ['100%', 'user:100%25'],
    ['*', 'user:%2A'],
    ["!'()", 'user:%21%27%28%29'],
    ['é', 'user:%C3%A9'],
    ['😀', 'user:%F0%9F%98%80'],
  ])('encodes %j', (sub, topic) => {
    expect(topicFor('user', sub)).toBe(topic);
  });

  it('is a topic whatever the name is, as long as it is short enough', () => {
    fc.assert(
      fc.property(name, sub => {
        const topic = topicFor('user', sub);
        expect(topic).toMatch(/^user:[A-Za-z0-9._~\-/@|+=%]+$/);
        expect(isTopic(topic)).toBe(topic.length <= 200);
      }),
    );
  });

  it('is never shared by two names', () => {
    fc.assert(
      fc.property(name, name, (one, other) => {
        expect(topicFor('user', one) === topicFor('user', other)).toBe(one === other);
      }),
    );
    fc.assert(
      fc.property(name, sub => {
        // Decoding gives the name back, so no two names can meet.
        expect(decodeURIComponent(topicFor('user', sub).slice('user:'.length))).toBe(sub);
      }),
    );
  });

  it('refuses a name with half a surrogate pair, which would share its topic with others', () => {
    expect(() => topicFor('user', 'a\ud800')).toThrow(URIError);
  });
});
