import { z } from 'zod';

import { ALL, isTopic, isWildcard, topicFor } from '../log/topic.js';
import type { Caller } from './caller.js';

/** Latest time that a JavaScript date can tell, in epoch milliseconds; an `exp` past it is as good as this one. */
const END_OF_TIME = 8.64e15;

export const TENANT_NAME = z
  .string('a string')
  .regex(/^[A-Za-z0-9._~-]{1,100}$/, '1 to 100 characters of A-Z a-z 0-9 . _ ~ -');

/** Topics and whole kinds; everything at once is what scope `admin` is for. */
export const GRANTED = z
  .array(z.string('a string'), 'an array of strings')
  .refine(topics => topics.every(isGrant), 'topics such as room:9, or whole kinds such as room:*');

/** The claims that say who the caller is. The message completes the sentence `"claim" must be …`. */
const IDENTITY = z.object({
  sub: z.string('a string').refine(sub => isNameable('user', sub), 'a name that fits a topic of its own'),
  tenant: TENANT_NAME.default('default'),
  roles: z
    .array(z.string('a string'), 'an array of strings')
    .refine(
      roles => roles.every(role => isNameable('role', role)),
      'names that each fit a topic of their own',
    )
    .default([]),
  topics: GRANTED.default([]),
  scope: z.string('a string of scopes with spaces between them').default(''),
});

/** The claims of a token: RFC 7519, section 4.1, of which `exp` is required here, and Belfry's own. */
export const CLAIMS = IDENTITY.extend({
  exp: z.number('a number of seconds since 1970'),
  iat: z.number('a number of seconds since 1970').optional(),
});

/** What the claims grant. */
export function callerFrom(claims: z.infer<typeof CLAIMS>): Caller {
  const scopes = new Set(claims.scope.split(' ').filter(scope => scope !== ''));
  return {
    tenant: claims.tenant,
    sub: claims.sub,
    scopes,
    topics: [
      ...new Set([
        topicFor('user', claims.sub),
        ALL,
        ...claims.roles.map(role => topicFor('role', role)),
        ...claims.topics.filter(isTopic),
      ]),
    ],
    wildcards: wildcardsOf(scopes, claims.topics.filter(isWildcard)),
    expiresAt: Math.min(claims.exp * 1000, END_OF_TIME),
    // By the clock of an issuer that is ahead it may be to come, and would outlive a revocation of now.
    ...(claims.iat === undefined ? {} : { issuedAt: Math.min(claims.iat * 1000, Date.now()) }),
  };
}

/** The whole kinds that scopes grant, and those that are granted besides, each once. */
export function wildcardsOf(scopes: ReadonlySet<string>, granted: readonly string[] = []): string[] {
  const wildcards = new Set(granted);
  if (scopes.has('jobs')) wildcards.add('job:*');
  if (scopes.has('admin')) wildcards.add('*');
  return [...wildcards];
}

/** The first thing that is wrong, as a sentence. What is wrong with the whole is a sentence already. */
export function explain(error: z.ZodError): string {
  const [issue] = error.issues;
  if (issue === undefined) return error.message;
  if (issue.path.length === 0) return issue.message;
  return `"${issue.path.join('.')}" must be ${issue.message}.`;
}

function isNameable(kind: string, name: string): boolean {
  // A lone surrogate has no UTF-8, so it has no topic either; and what has a NUL, Postgres cannot keep.
  return !/[\0\p{Surrogate}]/u.test(name) && isTopic(topicFor(kind, name));
}

function isGrant(value: string): boolean {
  return value !== '*' && (isTopic(value) || isWildcard(value));
}
