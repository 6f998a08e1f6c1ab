import fc, { type Arbitrary } from 'fast-check';

/** What is sent here is text in which each character, up to U+00FF, stands for one byte. */
export function asBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

export function anyBytes(maxLength = 60): Arbitrary<string> {
  return fc.string({ unit: fc.nat(255).map(code => String.fromCharCode(code)), maxLength });
}

/** Mostly one of some values that are right or nearly so, sometimes a damaged one, sometimes anything. */
export function near(values: readonly string[]): Arbitrary<string> {
  const value = fc.constantFrom(...values);
  return fc.oneof(
    { weight: 6, arbitrary: value },
    {
      weight: 2,
      arbitrary: fc
        .tuple(value, fc.nat(40), anyBytes(3))
        .map(([text, at, bytes]) => text.slice(0, at) + bytes + text.slice(at)),
    },
    { weight: 1, arbitrary: anyBytes() },
  );
}

/** Names that every object has, and that a look-up by name must not find. */
export const INHERITED = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'];

/** Lists in lists. */
export const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
