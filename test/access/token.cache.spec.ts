import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { SignJWT } from 'jose';
import { IssuerKeys } from '../../src/access/issuer.keys.js';
import { JwtSecret } from '../../src/access/jwt-secret.js';
import { TokenCache } from '../../src/access/token.cache.js';
import { TokenVerifier } from '../../src/access/token.verifier.js';
import { SECRET, testConfig } from '../support/shell-app.js';

async function verifier(
  env: NodeJS.ProcessEnv = {},
  cache = new TokenCache(testConfig(env)),
): Promise<TokenVerifier> {
  const config = testConfig(env);
  return new TokenVerifier(await JwtSecret.load(config), new IssuerKeys(cache, config), cache, config);
}

function sign(sub: string, exp = Math.floor(Date.now() / 1000) + 60, secret = SECRET): Promise<string> {
  return new SignJWT()
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(sub)
    .setExpirationTime(exp)
    .sign(Buffer.from(secret));
}

describe('a token that was found good', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it('is not checked again', async () => {
    const access = await verifier();
    const token = await sign('ada');
    expect(await access.verify(token)).toBe(await access.verify(token));
  });

  it('is refused from its exp on, as if it had never been seen', async () => {
    const access = await verifier();
    const exp = Math.floor(Date.now() / 1000) + 60;
    const token = await sign('ada', exp);
    await access.verify(token);
    const clock = jest.spyOn(Date, 'now').mockReturnValue(exp * 1000 - 1);
    expect(await access.verify(token)).toMatchObject({ sub: 'ada' });
    clock.mockReturnValue(exp * 1000);
    await expect(access.verify(token)).rejects.toMatchObject({ code: 'token-expired' });
  });

  it('stands for no other: one with another signature is refused', async () => {
    const access = await verifier();
    const exp = Math.floor(Date.now() / 1000) + 60;
    await access.verify(await sign('ada', exp));
    const forged = await sign('ada', exp, `${SECRET} of somebody else`);
    await expect(access.verify(forged)).rejects.toMatchObject({ code: 'token-invalid' });
    expect(await access.verify(await sign('bob', exp))).toMatchObject({ sub: 'bob' });
  });

  it('is forgotten when there are more than TOKEN_CACHE_TOKENS newer ones, and never remembered with 0', async () => {
    const access = await verifier({ TOKEN_CACHE_TOKENS: '2' });
    const tokens = await Promise.all(['a', 'b', 'c'].map(sub => sign(sub)));
    const first = await access.verify(tokens[0]!);
    expect(await access.verify(tokens[0]!)).toBe(first);
    for (const token of tokens.slice(1)) await access.verify(token);
    expect(await access.verify(tokens[0]!)).not.toBe(first);

    const forgetful = await verifier({ TOKEN_CACHE_TOKENS: '0' });
    expect(await forgetful.verify(tokens[0]!)).not.toBe(await forgetful.verify(tokens[0]!));
  });

  it('is checked again after all were forgotten, also when that came while it was being checked', async () => {
    const cache = new TokenCache(testConfig());
    const access = await verifier({}, cache);
    const token = await sign('ada');
    const first = await access.verify(token);
    cache.clear();
    const second = access.verify(token);
    cache.clear();
    expect(await second).not.toBe(first);
    const third = await access.verify(token);
    expect(third).not.toBe(await second);
    expect(await access.verify(token)).toBe(third);
  });
});
