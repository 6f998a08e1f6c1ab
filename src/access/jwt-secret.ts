import { randomBytes, randomUUID, webcrypto } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Config } from '../config/config.js';
import { BootError } from '../errors/boot-error.js';

const SECRET_BYTES = 32;

/** The HS256 key that tokens are verified with and, in demo mode, signed with. */
export class JwtSecret {
  /** @param key undefined when all tokens come from an issuer with keys of its own */
  private constructor(readonly key: webcrypto.CryptoKey | undefined) {}

  /**
   * @throws BootError when the secret that demo mode keeps cannot be read or made
   */
  static async load(config: Config): Promise<JwtSecret> {
    const secret = config.jwtSecret ?? (config.demo ? await demoSecret(config.dataDir) : undefined);
    if (secret === undefined) return new JwtSecret(undefined);
    const algorithm = { name: 'HMAC', hash: 'SHA-256' };
    const bytes = Buffer.from(secret);
    return new JwtSecret(
      await webcrypto.subtle.importKey('raw', bytes, algorithm, false, ['sign', 'verify']),
    );
  }
}

/** The secret of this data directory, made at the first start, so that demo tokens outlive a restart. */
async function demoSecret(dataDir: string): Promise<string> {
  const file = join(dataDir, 'jwt-secret');
  try {
    await mkdir(dataDir, { recursive: true });
    const secret = (await readSecret(file)) ?? (await makeSecret(file));
    if (secret.length >= SECRET_BYTES) return secret;
  } catch (cause) {
    throw new BootError(`The demo secret ${file} cannot be read or made: ${String(cause)}.`, { cause });
  }
  throw new BootError(`The demo secret ${file} is too short: delete the file and a new one is made.`);
}

async function readSecret(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/**
 * The file appears whole or not at all, and never twice: two instances that start at once must agree, and a crash
 * must not leave an empty secret. `link` is what refuses to replace; `rename` would not.
 */
async function makeSecret(file: string): Promise<string> {
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, `${secret}\n`, { mode: 0o600, flag: 'wx', flush: true });
    await link(draft, file);
    return secret;
  } catch (error) {
    const theirs = isErrno(error, 'EEXIST') ? await readSecret(file) : undefined;
    if (theirs === undefined) throw error;
    return theirs;
  } finally {
    await rm(draft, { force: true });
  }
}

function isErrno(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}
