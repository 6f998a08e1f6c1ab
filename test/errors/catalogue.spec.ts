import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';

import type { ProblemCode } from '../../src/errors/catalogue.js';
import { CATALOGUE, codeOf, entryOf } from '../../src/errors/catalogue.js';

const CODES = Object.keys(CATALOGUE) as ProblemCode[];

describe('the error catalogue', () => {
  it('is documented in full: each code once, with its status and what to do', () => {
    const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| `([a-z-]+)` +\| (\d{3}) +\| (.+?) +\|$/gm)].map(row => row.slice(1));
    expect(rows).toEqual(CODES.map(code => [code, String(entryOf(code).status), entryOf(code).detail]));
  });

  it.each(CODES)('gives %s a status of an error and a sentence', code => {
    const { status, title, detail } = entryOf(code);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(600);
    expect(title).not.toBe('');
    expect(detail).toMatch(/^[A-Z].*\.$/);
  });

  it('has a code for every status of an error, and the same status where it can', () => {
    for (let status = 400; status < 600; status++) expect(CODES).toContain(codeOf(status));
    for (const status of [400, 401, 403, 404, 405, 413, 415, 500])
      expect(entryOf(codeOf(status)).status).toBe(status);
  });
});
