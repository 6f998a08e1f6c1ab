import { describe, expect, it } from '@jest/globals';
import { waitAtMost } from '../../src/database/patience.js';

const LONG_MS = 2_000_000_000;

describe('patience', () => {
  const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length;

  it('ends with what it is for, and leaves no timer', async () => {
    const before = timers();
    await waitAtMost(LONG_MS, Promise.resolve());
    expect(timers()).toBe(before);
  });

  it('fails with what it is for, and leaves no timer', async () => {
    const before = timers();
    await expect(waitAtMost(LONG_MS, Promise.reject(new Error('in time')))).rejects.toThrow('in time');
    expect(timers()).toBe(before);
  });

  it('ends by itself, and does not hear of a failure after that', async () => {
    let fail: (error: Error) => void = () => undefined;
    const end = new Promise<never>((_resolve, reject) => (fail = reject));
    await waitAtMost(1, end);
    // Unheard of, it would fail this file.
    fail(new Error('too late'));
    await new Promise(setImmediate);
  });
});
