import { z } from 'zod';

import { BACKEND_SCOPES } from './caller.js';

/** Longest name, in characters. */
const NAME_LENGTH = 100;
/** No line breaks or other controls, nothing that UTF-8 cannot carry, and something to read. */
const NAME = new RegExp(`^(?=.*\\S)[^\\p{Control}\\p{Surrogate}\\u2028\\u2029]{1,${NAME_LENGTH}}$`, 'u');
/** Years of four digits: Postgres reads no others in this form. */
const LAST_TIME = Date.parse('9999-12-31T23:59:59.999Z');

const NAME_RULE = `1 to ${NAME_LENGTH} characters without control characters`;
const SCOPE_RULE = `one or more of ${BACKEND_SCOPES.join(', ')}`;
const EXPIRY_RULE = 'a date and time to come, such as 2030-01-31T12:00:00Z';

/** What a key is made of, apart from its tenant. The message completes the sentence `"member" must be …`. */
export const KEY_REQUEST = z.strictObject(
  {
    name: z.string(NAME_RULE).refine(name => NAME.test(name), NAME_RULE),
    /** A list, or as in a JWT one string with spaces between them. */
    scopes: z.preprocess(
      scopes => (typeof scopes === 'string' ? scopes.split(' ').filter(scope => scope !== '') : scopes),
      z
        .array(z.enum(BACKEND_SCOPES, SCOPE_RULE), SCOPE_RULE)
        .min(1, SCOPE_RULE)
        .transform(scopes => [...new Set(scopes)]),
    ),
    /** Left out or null: it does not expire. */
    expiresAt: z.iso
      .datetime({ offset: true, error: EXPIRY_RULE })
      .refine(time => Date.parse(time) > Date.now() && Date.parse(time) <= LAST_TIME, EXPIRY_RULE)
      .nullish(),
  },
  { error: () => 'Send a JSON object with "name", "scopes" and, where wanted, "expiresAt" and "tenant".' },
);
