import { createHmac } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import type { TestDatabase } from '../support/databases.js';
import { Instance, SECRET } from '../support/instance.js';

const ISSUER = 'https://issuer.example';
const AUDIENCE = 'belfry';
const KEY_ID = 'first';

/** What is sent with a request to say who sends it. */
export interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly ticket?: string;
}

type Claims = Readonly<Record<string, unknown>>;

/** An issuer of tokens with its keys on a server, and an instance that trusts it, and a secret of its own. */
export class Credentials {
  private constructor(
    readonly belfry: Instance,
    private readonly database: TestDatabase,
    private readonly issuer: Server,
    private readonly pair: Awaited<ReturnType<typeof generateKeyPair>>,
    private readonly stranger: Awaited<ReturnType<typeof generateKeyPair>>,
  ) {}

  static async start(database: TestDatabase): Promise<Credentials> {
    const [pair, stranger] = await Promise.all(
      [1, 2].map(() => generateKeyPair('RS256', { extractable: true })),
    );
    if (!pair || !stranger) throw new Error('there are two pairs');
    const jwk = { ...(await exportJWK(pair.publicKey)), kid: KEY_ID, alg: 'RS256', use: 'sig' };
    const issuer = createServer((_request, response) => {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ keys: [jwk] }));
    });
    await new Promise<void>(resolve => issuer.listen(0, '127.0.0.1', resolve));
    const belfry = await Instance.start(database.url, {
      JWKS_URL: `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/`,
      JWT_ISSUER: ISSUER,
      JWT_AUDIENCE: AUDIENCE,
    });
    return new Credentials(belfry, database, issuer, pair, stranger);
  }

  async stop(): Promise<void> {
    await this.belfry.stop();
    this.issuer.closeAllConnections();
    await new Promise(resolve => this.issuer.close(resolve));
  }

  /** A good token but for these claims; one that is undefined is left out. */
  token(claims: Claims = {}, { secret = SECRET, alg = 'HS256' } = {}): Promise<string> {
    return new SignJWT(claimsOf(claims)).setProtectedHeader({ alg }).sign(Buffer.from(secret));
  }

  unsigned(claims: Claims): string {
    return new UnsecuredJWT(claimsOf(claims)).encode();
  }

  /** A token of the issuer, or of somebody who says so. */
  issued(claims: Claims, { kid = KEY_ID, byStranger = false } = {}): Promise<string> {
    const { privateKey } = byStranger ? this.stranger : this.pair;
    return new SignJWT(claimsOf(claims)).setProtectedHeader({ alg: 'RS256', kid }).sign(privateKey);
  }

  /** As a verifier would take it that uses whatever key the header leads to with whatever algorithm it names. */
  async mixedUp(claims: Claims): Promise<string> {
    const publicKey = await exportSPKI(this.pair.publicKey);
    const header = { alg: 'HS256', kid: KEY_ID };
    const signed = [header, claimsOf(claims)]
      .map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    return `${signed}.${createHmac('sha256', publicKey).update(signed).digest('base64url')}`;
  }

  /** A new API key. */
  async key(scopes: readonly string[], tenant = 'default'): Promise<{ id: string; key: string }> {
    const token = await this.token({ scope: 'admin', tenant });
    const answer = await this.belfry.request('POST', '/v1/admin/keys', {
      token,
      body: { name: 'a key', scopes },
    });
    if (answer.status !== 201) throw new Error(`no key was made: ${answer.text}`);
    return answer.json as { id: string; key: string };
  }

  async expiredKey(scopes: readonly string[]): Promise<string> {
    const { id, key } = await this.key(scopes);
    await this.database.rows(
      `update belfry.api_keys set expires_at = now() - interval '1 second' where id = $1`,
      [id],
    );
    return key;
  }

  async revokedKey(scopes: readonly string[]): Promise<string> {
    const { id, key } = await this.key(scopes);
    const token = await this.token({ scope: 'admin' });
    const answer = await this.belfry.request('DELETE', `/v1/admin/keys/${id}`, { token });
    if (answer.status !== 204) throw new Error(`the key was not revoked: ${answer.text}`);
    return key;
  }

  /** The id of one key and the secret of another. */
  async mixedKey(scopes: readonly string[]): Promise<string> {
    const [one, other] = [await this.key(scopes), await this.key(scopes)];
    return `${one.key.slice(0, -43)}${other.key.slice(-43)}`;
  }

  async revokedToken(claims: Claims): Promise<string> {
    const sub = 'revoked';
    const token = await this.token({ ...claims, sub });
    const answer = await this.belfry.request('POST', '/v1/admin/revocations', {
      token: await this.token({ scope: 'admin' }),
      body: { sub },
    });
    if (answer.status !== 201) throw new Error(`the token was not revoked: ${answer.text}`);
    return token;
  }

  async ticket(): Promise<string> {
    const answer = await this.belfry.request('POST', '/v1/tickets', { token: await this.token() });
    if (answer.status !== 201) throw new Error(`there was no ticket: ${answer.text}`);
    return (answer.json as { ticket: string }).ticket;
  }

  async spentTicket(): Promise<string> {
    const ticket = await this.ticket();
    const response = await fetch(`${this.belfry.url}/v1/stream?ticket=${ticket}`);
    await response.body?.cancel();
    if (response.status !== 200) throw new Error(`the ticket was no good: ${response.status}`);
    return ticket;
  }
}

function claimsOf(claims: Claims): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000);
  const all: Claims = { sub: 'alice', iat: now, exp: now + 600, iss: ISSUER, aud: AUDIENCE, ...claims };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
