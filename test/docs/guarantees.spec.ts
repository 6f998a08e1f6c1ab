import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { missingOf, referencesIn } from './references.js';

describe('docs/guarantees.md', () => {
  const [, promises = '', limits = ''] = readFileSync('docs/guarantees.md', 'utf8').split(
    /\n## (?:Promises|Limits)\n/,
  );
  const rowsOf = (table: string) =>
    table
      .split('\n')
      .filter(line => line.startsWith('|'))
      .slice(2);
  const rows = [...rowsOf(promises), ...rowsOf(limits)];

  it('names a test for every promise and every limit', () => {
    expect(rowsOf(promises).length).toBeGreaterThan(10);
    expect(rowsOf(limits).length).toBeGreaterThan(5);
    expect(rows.filter(row => referencesIn(row).length === 0)).toEqual([]);
  });

  it('names tests that exist', () => {
    expect(missingOf(rows.flatMap(referencesIn))).toEqual([]);
  });
});
