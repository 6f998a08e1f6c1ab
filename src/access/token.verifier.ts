import { Inject, Injectable } from '@nestjs/common';
import { decodeProtectedHeader, errors, jwtVerify } from 'jose';

import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import type { Caller } from './caller.js';
import { callerFrom, CLAIMS, explain } from './claims.js';
import { IssuerKeys } from './issuer.keys.js';
import { JwtSecret } from './jwt-secret.js';
import { TokenCache } from './token.cache.js';

/** Longest token that is looked at, in characters. Node takes 16 KiB of headers, and hashing is work done for anyone. */
export const TOKEN_LENGTH = 8192;

/** How far the issuer's clock may be ahead of ours, in seconds. It never makes a token live longer. */
const CLOCK_TOLERANCE = 5;

/** Turns a JWT into the caller it speaks for. */
@Injectable()
export class TokenVerifier {
  constructor(
    private readonly secret: JwtSecret,
    private readonly issuer: IssuerKeys,
    private readonly cache: TokenCache,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * @throws Problem `token-invalid`, `token-expired`, `token-claims` or `issuer-unavailable`
   */
  async verify(token: string): Promise<Caller> {
    if (token.length > TOKEN_LENGTH) {
      throw new Problem('token-invalid', `Send a token of at most ${TOKEN_LENGTH} characters.`);
    }
    const known = this.cache.get(token);
    if (known) return known;

    const { generation } = this.cache;
    const claims = CLAIMS.safeParse(await this.payloadOf(token));
    if (!claims.success) throw new Problem('token-claims', explain(claims.error));

    const now = Date.now();
    const { exp, iat } = claims.data;
    // jose compares whole seconds and would apply the tolerance to `exp` too.
    if (exp * 1000 <= now) throw new Problem('token-expired');
    if (iat !== undefined && iat * 1000 > now + CLOCK_TOLERANCE * 1000) {
      throw new Problem(
        'token-invalid',
        'Send a token that was not issued in the future: its "iat" has not come.',
      );
    }
    const caller = callerFrom(claims.data);
    // Its key may have gone while it was being checked.
    if (this.cache.generation === generation) this.cache.set(token, caller);
    return caller;
  }

  /**
   * The header chooses between two ways, each with keys and algorithms of its own: a public key never serves as a
   * secret, nor the secret as anything else (RFC 8725, sections 2.1, 3.1 and 3.2). Keys in a header, or addresses of
   * keys, are not looked at.
   */
  private async payloadOf(token: string): Promise<unknown> {
    const { jwtIssuer, jwtAudience } = this.config;
    const checks = {
      clockTolerance: CLOCK_TOLERANCE,
      requiredClaims: ['sub', 'exp'],
      ...(jwtIssuer === undefined ? {} : { issuer: jwtIssuer }),
      ...(jwtAudience === undefined ? {} : { audience: jwtAudience }),
    };
    const { key } = this.secret;
    try {
      const { alg = '' } = decodeProtectedHeader(token);
      if (alg === 'HS256' && key !== undefined) {
        return (await jwtVerify(token, key, { ...checks, algorithms: ['HS256'] })).payload;
      }
      if (this.issuer.algorithms.includes(alg)) return await this.issuer.verify(token, checks);
    } catch (cause) {
      throw problemOf(cause);
    }
    throw new Problem('token-invalid');
  }
}

function problemOf(cause: unknown): Problem {
  if (cause instanceof Problem) return cause;
  if (cause instanceof errors.JWTExpired) return new Problem('token-expired', undefined, { cause });
  if (cause instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason } = cause;
    if (claim === 'iss' || claim === 'aud') {
      return new Problem('token-invalid', `Send a token whose "${claim}" is the one expected here.`, {
        cause,
      });
    }
    if (claim === 'nbf' && reason === 'check_failed') {
      return new Problem('token-invalid', 'Wait with this token until its "nbf" has come.', { cause });
    }
    return new Problem('token-claims', `Issue tokens with a usable "${claim}".`, { cause });
  }
  return new Problem('token-invalid', undefined, { cause });
}
