import { createHash, randomInt } from 'node:crypto';

/** What the credential of a backend begins with; no JWT does. */
export const KEY_PREFIX = 'bk_';

const DIGITS = '0123456789';
const LOWER = 'abcdefghijklmnopqrstuvwxyz';
const ID = { alphabet: DIGITS + LOWER, length: 12 };
/** 43 characters out of 62 are 256 bits. */
const SECRET = { alphabet: DIGITS + LOWER + LOWER.toUpperCase(), length: 43 };

const SHAPE = /^bk_([a-z0-9]{12})_([A-Za-z0-9]{43})$/;
const NAMING = /^(?:bk_)?([a-z0-9]{12})(?:_[A-Za-z0-9]{43})?$/;

/** The two parts of a key `bk_<id>_<secret>`: the id may be told, the secret is known to its holder alone. */
interface KeyParts {
  readonly id: string;
  readonly secret: string;
}

export function makeKey(): KeyParts & { readonly key: string } {
  const id = randomText(ID);
  const secret = randomText(SECRET);
  return { id, secret, key: `${KEY_PREFIX}${id}_${secret}` };
}

/** @returns undefined for what has not the shape of a key */
export function parseKey(key: string): KeyParts | undefined {
  const [, id, secret] = SHAPE.exec(key) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** Whether a text could be the id of a key. */
export function isKeyId(text: string): boolean {
  return /^[a-z0-9]{12}$/.test(text);
}

/** The id of a key as people write it down: alone, with its `bk_`, or as the whole key. */
export function keyIdOf(text: string): string | undefined {
  return NAMING.exec(text)?.[1];
}

/** What is kept of a secret. A plain hash will do: nobody tries 2^256 of them. */
export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

function randomText({ alphabet, length }: typeof ID): string {
  return Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('');
}
