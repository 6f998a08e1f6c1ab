import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { missingOf, type Reference, referencesIn, withoutReferences } from './references.js';

/** One paragraph or list item of PROTOCOL.md that obliges the service, and the tests that it names. */
interface Rule {
  readonly text: string;
  readonly tests: readonly Reference[];
}

const KEY_WORD = /\bMUST\b/;

/** Examples and the quoted key words of RFC 2119 oblige nobody. */
function rulesOf(markdown: string): Rule[] {
  return markdown
    .replace(/^```[^]*?^```$/gm, '')
    .replace(/"MUST(?: NOT)?"/g, '')
    .split(/\n(?=\s*[-*] )|\n\n+/)
    .filter(block => KEY_WORD.test(block) && !block.includes('Every MUST and MUST NOT binds'))
    .map(block => ({
      text: withoutReferences(block).replaceAll('<br>', '').replace(/\s+/g, ' ').trim(),
      tests: referencesIn(block),
    }));
}

describe('PROTOCOL.md', () => {
  const rules = rulesOf(readFileSync('PROTOCOL.md', 'utf8'));

  it('has rules', () => {
    expect(rules.length).toBeGreaterThan(50);
  });

  it('names a test for every MUST', () => {
    expect(rules.filter(({ tests }) => tests.length === 0).map(({ text }) => text)).toEqual([]);
  });

  it('names tests that exist', () => {
    expect(missingOf(rules.flatMap(({ tests }) => tests))).toEqual([]);
  });
});

describe('the check of rules', () => {
  it('notices a rule without a test, and not the words of an example', () => {
    const markdown =
      '"MUST" is a word.\n\n- It MUST be.\n  [a](a): `b`\n- It\n  MUST NOT.\n\n```\nMUST\n```\n';
    expect(rulesOf(markdown)).toEqual([
      { text: '- It MUST be.', tests: [{ file: 'a', title: 'b' }] },
      { text: '- It MUST NOT.', tests: [] },
    ]);
  });
});
