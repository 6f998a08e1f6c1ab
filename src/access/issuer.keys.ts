import { Inject, Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import {
  type CompactJWSHeaderParameters,
  createRemoteJWKSet,
  type CryptoKey,
  customFetch,
  errors,
  type FetchImplementation,
  type FlattenedJWSInput,
  type JWK,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyOptions,
  type RemoteJWKSet,
} from 'jose';

import { CONFIG, type Config } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import { reasonOf } from '../errors/reason.js';
import { TokenCache } from './token.cache.js';

/** How long fetching the keys may take, in milliseconds. */
const FETCH_TIMEOUT_MS = 5_000;
/** Largest set of keys that is read, in bytes. */
const KEY_SET_BYTES = 1024 * 1024;

/**
 * The public keys of the issuer at `JWKS_URL` (RFC 7517), and the check of a signature with them. Without the URL there
 * is no issuer, and no algorithm that a token of it could have.
 *
 *     none ── fetched ──► known ─┐
 *     ▲  └ failed ┐       ▲      │ fetched, or failed: the old keys stay
 *     └───────────┘       └──────┘
 *
 * They are fetched at boot and every `jwksRefreshMs`; and when a token needs a key that is not there, but then not
 * before `jwksCooldownMs` have passed since the last fetch ended, well or not: anybody can make up such a token. One
 * fetch serves all who wait for it. jose would fetch whenever a key is missing and rest only after a success, so it is
 * told that what it has is always fresh, and each fetch is begun here.
 */
@Injectable()
export class IssuerKeys implements OnModuleInit, OnApplicationShutdown {
  /** How a token of the issuer may be signed; empty when there is no issuer. */
  readonly algorithms: readonly string[];

  private readonly logger = new Logger(IssuerKeys.name);
  private readonly keys: RemoteJWKSet | undefined;
  /** Each key that was there at the last good fetch; undefined: there was none yet. */
  private known: ReadonlySet<string> | undefined;
  /** What went wrong last. */
  private failure: unknown;
  private fetching: Promise<boolean> | undefined;
  /** When the last fetch ended, by the monotonic clock. */
  private triedAt = -Infinity;
  private request: AbortController | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly cache: TokenCache,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    const { jwksUrl } = config;
    this.algorithms = jwksUrl === undefined ? [] : config.jwksAlgorithms;
    if (jwksUrl === undefined) return;
    this.keys = createRemoteJWKSet(new URL(jwksUrl), {
      cacheMaxAge: Infinity,
      cooldownDuration: Infinity,
      timeoutDuration: FETCH_TIMEOUT_MS,
      [customFetch]: (url, init) => this.get(url, init),
    });
  }

  /** Begins to fetch. A boot does not wait for it: the service starts while the issuer is away. */
  onModuleInit(): void {
    const { keys } = this;
    if (keys === undefined || this.stopped) return;
    void this.fetch(keys);
    this.timer = setInterval(() => {
      void this.fetch(keys);
    }, this.config.jwksRefreshMs).unref();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    this.request?.abort();
    await this.fetching;
  }

  /**
   * The claims of a token that is signed with one of the keys, by one of the algorithms.
   *
   * @throws Problem `issuer-unavailable` as long as no keys were ever fetched; an error of jose when the token is not
   *   good, also when its key is not among them
   */
  async verify(token: string, checks: JWTVerifyOptions): Promise<JWTPayload> {
    const { keys } = this;
    if (keys === undefined) throw new Error('no issuer is configured');
    const options = { ...checks, algorithms: [...this.algorithms] };
    try {
      const { payload } = await jwtVerify(token, (header, jws) => this.keyOf(keys, header, jws), options);
      return payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      return verifyWithAny(error, token, options);
    }
  }

  private async keyOf(
    keys: RemoteJWKSet,
    header: CompactJWSHeaderParameters,
    token: FlattenedJWSInput,
  ): Promise<CryptoKey> {
    if (this.known === undefined) await this.fetchUnlessLately(keys);
    if (this.known === undefined) {
      const rest = this.triedAt + this.config.jwksCooldownMs - performance.now();
      const retryAfterSeconds = Math.max(1, rest / 1000);
      throw new Problem('issuer-unavailable', undefined, { retryAfterSeconds, cause: this.failure });
    }
    try {
      return await keys(header, token);
    } catch (error) {
      const isMissing = error instanceof errors.JWKSNoMatchingKey;
      if (!isMissing || !(await this.fetchUnlessLately(keys))) throw error;
      return keys(header, token);
    }
  }

  /** @returns true when the keys were fetched after all, by this caller or by another that it waited for */
  private async fetchUnlessLately(keys: RemoteJWKSet): Promise<boolean> {
    const isLately = performance.now() < this.triedAt + this.config.jwksCooldownMs;
    if (this.fetching === undefined && isLately) return false;
    return this.fetch(keys);
  }

  /** @returns false when it failed */
  private fetch(keys: RemoteJWKSet): Promise<boolean> {
    this.fetching ??= keys
      .reload()
      .then(
        () => {
          this.take(keys);
          return true;
        },
        (error: unknown) => {
          this.failure = error;
          if (!this.stopped) this.logger.warn(`the keys of the issuer cannot be fetched: ${whyOf(error)}`);
          return false;
        },
      )
      .finally(() => {
        this.triedAt = performance.now();
        this.fetching = undefined;
      });
    return this.fetching;
  }

  /** Tokens that were found good by a key are not remembered longer than the issuer stands by it. */
  private take(keys: RemoteJWKSet): void {
    const fetched = new Set(keys.jwks()?.keys.map(identityOf));
    const gone = [...(this.known ?? [])].filter(key => !fetched.has(key));
    this.known = fetched;
    if (gone.length === 0) return;
    this.cache.clear();
    this.logger.log('a key of the issuer is gone or changed: tokens are checked again');
  }

  /** Fetches as jose asks for it, but not more than so many bytes, and not past our end. */
  private async get(url: string, { signal, ...init }: Parameters<FetchImplementation>[1]): Promise<Response> {
    // Not AbortSignal.any: of the signals that it joins it holds none, and the one that keeps time may be collected.
    const request = new AbortController();
    signal.addEventListener('abort', () => {
      request.abort(signal.reason);
    });
    this.request = request;
    if (this.stopped) request.abort();

    const response = await fetch(url, { ...init, signal: request.signal });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`the answer has status ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    // Leaving the loop cancels what is still to come.
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      if (bytes > KEY_SET_BYTES) throw new Error(`the answer has more than ${KEY_SET_BYTES} bytes`);
      chunks.push(chunk);
    }
    return new Response(Buffer.concat(chunks));
  }
}

/** A token that does not say which key it is signed with, where several could be it. */
async function verifyWithAny(
  candidates: errors.JWKSMultipleMatchingKeys,
  token: string,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  for await (const key of candidates) {
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      // Another key may be the one. Any other error is about the claims, of which the signature was good.
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
    }
  }
  throw new errors.JWSSignatureVerificationFailed();
}

/** All that is said of a key: one that comes back with another name or for another use is another one. */
function identityOf(jwk: JWK): string {
  return JSON.stringify(Object.entries(jwk).sort());
}

/** fetch says only that it failed, and jose that it is no JSON; the cause says why. */
function whyOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? reasonOf(error) : `${reasonOf(error)} (${reasonOf(cause)})`;
}
