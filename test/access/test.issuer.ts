import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

interface Key {
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  /** What the key set says of it. */
  readonly jwk: JWK;
}

/** An issuer of tokens: serves its public keys over HTTP, signs, and can misbehave. */
export class TestIssuer {
  /** How often somebody came for the keys, with or without success. */
  fetches = 0;
  /** In the place of the key set, until it is undefined again. */
  misbehave: ((response: ServerResponse) => void) | undefined;
  /** What is in the set besides the keys that it signs with. */
  strangers: JWK[] = [];
  private readonly keys = new Map<string, Key>();
  private isDown = false;

  private constructor(private readonly server: Server) {
    server.on('request', (_request, response) => {
      this.fetches++;
      if (this.misbehave) this.misbehave(response);
      else response.end(this.keySet);
    });
    server.on('connection', socket => {
      if (!this.isDown) return;
      this.fetches++;
      socket.destroy();
    });
  }

  /** @param algorithms a key each, of that name */
  static async start(...algorithms: string[]): Promise<TestIssuer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const issuer = new TestIssuer(server);
    for (const alg of algorithms) await issuer.addKey(alg);
    return issuer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/keys`;
  }

  get keySet(): string {
    const keys = [...this.keys.values()].map(({ jwk }) => jwk);
    return JSON.stringify({ keys: [...keys, ...this.strangers] });
  }

  async addKey(alg: string, kid = alg): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
    this.keys.set(kid, { alg, privateKey, publicKey, jwk });
  }

  dropKey(kid: string): void {
    this.keys.delete(kid);
  }

  key(kid: string): Key {
    const key = this.keys.get(kid);
    if (!key) throw new Error(`the issuer has no key ${kid}`);
    return key;
  }

  /** A token of user 42, signed with a key of this issuer; a claim or header parameter of undefined is left out. */
  async sign(
    kid: string,
    claims: Record<string, unknown> = {},
    header: Record<string, unknown> & { readonly crit?: string[] } = {},
  ): Promise<string> {
    const { alg, privateKey } = this.key(kid);
    return new SignJWT({ sub: '42', exp: inSeconds(60), ...claims })
      .setProtectedHeader({ alg, kid, ...header })
      .sign(privateKey, { crit: Object.fromEntries((header.crit ?? []).map(name => [name, true])) });
  }

  /** Cuts its connections, and each new one before it can ask. */
  goDown(): void {
    this.isDown = true;
    this.server.closeAllConnections();
  }

  comeUp(): void {
    this.isDown = false;
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}
