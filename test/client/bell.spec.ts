import { describe, expect, it, jest } from '@jest/globals';

import { Clock, snoozeTimes } from '../../client/src/bell/clock.js';
import { Countdown } from '../../client/src/bell/countdown.js';
import { safeUrl } from '../../client/src/bell/link.js';

describe('a link of a notification', () => {
  const base = 'https://shop.example.com/orders/';

  it.each([
    ['https://example.com/a?b#c', 'https://example.com/a?b#c'],
    ['HTTP://example.com', 'http://example.com/'],
    ['/orders/1', 'https://shop.example.com/orders/1'],
  ])('%j is followed', (url, href) => {
    expect(safeUrl(url, base)).toBe(href);
  });

  it.each([
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    ' javascript:alert(1)',
    'java\nscript:alert(1)',
    '\u0001javascript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    'blob:https://shop.example.com/1',
    'vbscript:x',
    'file:///etc/passwd',
    'mailto:ada@example.com',
    '//evil.example.com',
    '/\\evil.example.com',
    'orders/1',
    'https://',
    'http://[',
    '',
    null,
    undefined,
  ])('%j is not', url => {
    expect(safeUrl(url, base)).toBeUndefined();
  });
});

describe('a clock', () => {
  const now = Date.parse('2026-11-20T10:00:00Z');
  const ago = (ms: number, lang = 'en'): string => new Clock(lang, 'now').relative(new Date(now - ms), now);

  it('says how long ago something was', () => {
    expect(ago(59_000)).toBe('now');
    expect(ago(60_000)).toBe('1 min. ago');
    expect(ago(59 * 60_000)).toBe('59 min. ago');
    expect(ago(60 * 60_000)).toBe('1 hr. ago');
    expect(ago(24 * 3_600_000)).toBe('yesterday');
    expect(ago(6 * 24 * 3_600_000)).toBe('6 days ago');
    expect(ago(7 * 24 * 3_600_000)).toBe('Nov 13, 2026');
  });

  it('says now of what a server ahead of it has just sent', () => {
    expect(ago(-90_000)).toBe('now');
  });

  it('speaks the language of the page', () => {
    expect(ago(3_600_000, 'de')).toBe('vor 1 Std.');
    expect(new Clock('ar-EG', 'now').count(100)).toBe('٩٩+');
  });

  it.each(['', 'en_US', 'not a language', '-'])('has one for a page that says %j', lang => {
    expect(new Clock(lang, 'now').count(99)).toBe('99');
  });

  it('says nothing of a time that is none', () => {
    const clock = new Clock('en', 'now');
    expect([clock.relative(new Date('soon')), clock.exact(new Date('soon'))]).toEqual(['', '']);
  });
});

describe('snoozing', () => {
  it.each([
    ['a Friday', new Date(2026, 10, 20, 10), new Date(2026, 10, 21, 9), new Date(2026, 10, 23, 9)],
    ['a Saturday', new Date(2026, 10, 21, 10), new Date(2026, 10, 22, 9), new Date(2026, 10, 23, 9)],
    [
      'a Sunday, whose Monday is tomorrow',
      new Date(2026, 10, 22, 10),
      new Date(2026, 10, 23, 9),
      new Date(2026, 10, 30, 9),
    ],
    ['a Monday', new Date(2026, 10, 23, 1), new Date(2026, 10, 24, 9), new Date(2026, 10, 30, 9)],
    ['the end of a year', new Date(2026, 11, 31, 23), new Date(2027, 0, 1, 9), new Date(2027, 0, 4, 9)],
  ])('on %s', (_day, now, tomorrow, week) => {
    expect(snoozeTimes(now)).toEqual({ hour: new Date(now.getTime() + 3_600_000), tomorrow, week });
  });
});

describe('a countdown', () => {
  it('goes on from where it was held', () => {
    jest.useFakeTimers();
    const end = jest.fn();
    const countdown = new Countdown(1_000, end);
    countdown.run();
    jest.advanceTimersByTime(900);
    countdown.hold();
    jest.advanceTimersByTime(10_000);
    countdown.run();
    jest.advanceTimersByTime(99);
    expect(end).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(end).toHaveBeenCalledTimes(1);
    jest.useRealTimers();
  });

  it('that was stopped never ends, and has no timer', () => {
    jest.useFakeTimers();
    const end = jest.fn();
    const countdown = new Countdown(1_000, end);
    countdown.run();
    countdown.stop();
    countdown.run();
    expect(jest.getTimerCount()).toBe(0);
    jest.useRealTimers();
  });
});
