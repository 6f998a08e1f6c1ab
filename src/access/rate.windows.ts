import type { ThrottlerStorage } from '@nestjs/throttler';
import { LRUCache } from 'lru-cache';

type Counted = Awaited<ReturnType<ThrottlerStorage['increment']>>;

/** Callers that are remembered, at most so many. */
const CALLERS = 20_000;

interface Window {
  hits: number;
  /** By the monotonic clock. */
  readonly endsAt: number;
}

/**
 * Counts requests in the memory of this instance: who asks several instances may ask each of them as often.
 *
 * A caller's window begins with a request and lasts its time; the next begins with the first request after it. So a
 * caller may ask twice as often as the limit says around the end of a window, and knows exactly when it may ask again.
 *
 * The throttler's own storage keeps the time of each hit and goes through all of them at each, thousands for a limit of
 * thousands, and keeps every caller until its timer comes by. Here a caller is two numbers, there is no timer, and of
 * too many callers the one that has not asked for longest begins anew: never one that is near its limit.
 */
export class RateWindows implements ThrottlerStorage {
  private readonly windows = new LRUCache<string, Window>({ max: CALLERS });

  /**
   * Counts one request.
   *
   * @param ttl length of a window, in milliseconds
   * @param limit requests in one window
   * @returns times in whole seconds
   */
  increment(key: string, ttl: number, limit: number): Promise<Counted> {
    const now = performance.now();
    let window = this.windows.get(key);
    if (!window || window.endsAt <= now) {
      window = { hits: 0, endsAt: now + ttl };
      this.windows.set(key, window);
    }
    window.hits++;
    const timeToExpire = Math.ceil((window.endsAt - now) / 1000);
    const isBlocked = window.hits > limit;
    return Promise.resolve({
      totalHits: window.hits,
      timeToExpire,
      isBlocked,
      timeToBlockExpire: isBlocked ? timeToExpire : 0,
    });
  }
}
