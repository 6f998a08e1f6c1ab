import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatCursor, parseCursor } from '../../src/log/cursor.js';

describe('a cursor', () => {
  it('is read as it was written', () => {
    const epoch = fc.string({
      unit: fc.constantFrom('0', '1', '9', 'a', 'f', 'z'),
      minLength: 1,
      maxLength: 32,
    });
    fc.assert(
      fc.property(epoch, fc.nat({ max: Number.MAX_SAFE_INTEGER }), (name, seq) => {
        expect(parseCursor(formatCursor(name, seq))).toEqual({ epoch: name, seq });
      }),
    );
  });

  it('is short ASCII, so that a browser may send it without a preflight', () => {
    expect(formatCursor('x'.repeat(32), Number.MAX_SAFE_INTEGER).length).toBeLessThan(128);
  });

  it.each([
    '',
    '.',
    'a.',
    '.1',
    'a',
    '1',
    'a.b',
    'a.-1',
    'a.01',
    'a.1.1',
    'a.1 ',
    ' a.1',
    'a.1\n',
    'A.1',
    'a.1e3',
    'a.0x1',
    'ä.1',
    'a.12345678901234567890',
    'a.99999999999999999999',
    `${'x'.repeat(33)}.1`,
  ])('is not %j', text => {
    expect(parseCursor(text)).toBeUndefined();
  });
});
