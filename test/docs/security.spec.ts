import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { missingOf, referencesIn } from './references.js';

describe('SECURITY.md', () => {
  const [, behind = ''] = readFileSync('SECURITY.md', 'utf8').split('\n## Threats\n');
  const [table = ''] = behind.split('\n## ');
  const [, , ...threats] = table.split('\n').filter(line => line.startsWith('|'));

  it('names a test for every threat', () => {
    expect(threats.length).toBeGreaterThan(15);
    expect(threats.filter(threat => referencesIn(threat).length === 0)).toEqual([]);
  });

  it('names tests that exist', () => {
    expect(missingOf(threats.flatMap(referencesIn))).toEqual([]);
  });
});
