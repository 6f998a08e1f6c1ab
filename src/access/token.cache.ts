import { Inject, Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { createHash } from 'node:crypto';

import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.js';
import type { Caller } from './caller.js';

/**
 * The callers of tokens that were found good, by a hash of the token: checking a signature costs a hundred times what
 * hashing does. Nobody is remembered longer than their token lives, and a heap dump holds no token.
 */
@Injectable()
export class TokenCache {
  private readonly callers: LRUCache<string, Caller> | undefined;
  private clears = 0;

  constructor(@Inject(CONFIG) { tokenCacheTokens }: Config) {
    if (tokenCacheTokens > 0) this.callers = new LRUCache({ max: tokenCacheTokens });
  }

  /** Another one after each `clear`: what was found out under an older one must not be remembered. */
  get generation(): number {
    return this.clears;
  }

  get(token: string): Caller | undefined {
    const caller = this.callers?.get(hashOf(token));
    return caller && caller.expiresAt > Date.now() ? caller : undefined;
  }

  set(token: string, caller: Caller): void {
    this.callers?.set(hashOf(token), caller);
  }

  /** Forgets all of them, so that each is checked again. */
  clear(): void {
    this.clears++;
    this.callers?.clear();
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
