import { createHmac } from 'node:crypto';
import fc, { type Arbitrary } from 'fast-check';
import { SECRET } from '../support/instance.js';
import { anyBytes, INHERITED } from './hostile.js';
import { anyJson, SCALARS } from './hostile.json.js';

const CLAIM_NAMES = [
  'sub',
  'exp',
  'iat',
  'nbf',
  'iss',
  'aud',
  'jti',
  'tenant',
  'roles',
  'topics',
  'scope',
  ...INHERITED,
];

const PROTECTED_HEADERS = [
  ...Array<string>(12).fill('{"alg":"HS256"}'),
  '{"alg":"none"}',
  '{"alg":"HS512"}',
  '{"alg":"RS256","kid":"__proto__"}',
  '{"alg":"HS256","kid":["x"],"typ":5}',
  '{"alg":"HS256","crit":["exp"],"exp":1}',
  '{"alg":"HS256","b64":false,"crit":["b64"]}',
  '{"alg":"HS256","jku":"http://127.0.0.1:1/","jwk":{"kty":"oct","k":"AA"}}',
  '{"alg":["HS256"]}',
  '{"__proto__":{"alg":"HS256"}}',
  'null',
  '[]',
];

/** A token that is signed with the right key, whatever it claims. */
export const anyToken: Arbitrary<string> = fc
  .record({
    header: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(...PROTECTED_HEADERS) },
      { weight: 1, arbitrary: anyBytes() },
    ),
    claims: fc.oneof(
      {
        weight: 9,
        arbitrary: fc
          .array(fc.tuple(fc.constantFrom(...CLAIM_NAMES), fc.oneof(fc.constantFrom(...SCALARS), anyJson)), {
            maxLength: 3,
          })
          .map(
            members =>
              `{"sub":"u","exp":4102444800${members.map(([name, value]) => `,${JSON.stringify(name)}:${value}`).join('')}}`,
          ),
      },
      { weight: 1, arbitrary: fc.oneof(anyJson, anyBytes()) },
    ),
  })
  .map(({ header, claims }) => {
    const signed = `${Buffer.from(header).toString('base64url')}.${Buffer.from(claims).toString('base64url')}`;
    return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
  });
