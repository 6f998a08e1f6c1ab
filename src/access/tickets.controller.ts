import { Controller, Inject, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiCreatedResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { CONFIG, type Config } from '../config/config.js';
import { JsonBody } from '../errors/json.body.js';
import { Problem } from '../errors/problem.js';
import { CurrentCaller } from './access.decorators.js';
import type { Caller } from './caller.js';
import { CLAIMS, callerFrom, explain, GRANTED } from './claims.js';
import { narrowed } from './grants.js';
import { type Ticket, Tickets } from './tickets.js';

/** For oneself, at most some topics of what one may read anyway. */
const OWN = z.strictObject(
  { topics: GRANTED.optional() },
  { error: () => 'Send nothing, or {"topics": [...]} to be granted these and no others.' },
);
/** For a user of the caller's. */
const USERS = z.strictObject(
  CLAIMS.pick({ sub: true, roles: true, topics: true, exp: true }).partial({ exp: true }).shape,
  { error: () => 'Send {"sub"} and, where wanted, "roles", "topics" and "exp".' },
);

/** `POST /v1/tickets` (see PROTOCOL). */
@ApiTags('access')
@ApiBearerAuth()
@Controller('v1/tickets')
export class TicketsController {
  constructor(
    private readonly tickets: Tickets,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Post()
  @ApiOperation({
    summary:
      'A ticket that opens one stream, for EventSource: for oneself or, with scope tickets, for a user.',
  })
  @ApiBody({
    required: false,
    schema: {
      oneOf: [OWN, USERS].map(shape => z.toJSONSchema(shape, { io: 'input', target: 'openapi-3.0' })),
    } as object,
  })
  @ApiCreatedResponse({
    schema: {
      type: 'object',
      properties: { ticket: { type: 'string' }, expiresAt: { type: 'string', format: 'date-time' } },
    },
  })
  create(@JsonBody() body: unknown, @CurrentCaller() caller: Caller): Promise<Ticket> {
    return this.tickets.issue(forWhom(body, caller, this.config.maxTopics));
  }
}

function forWhom(body: unknown, caller: Caller, maxTopics: number): Caller {
  // Before each of them is looked at.
  requireFew(body, maxTopics);
  if (typeof body === 'object' && body !== null && 'sub' in body) return userOf(body, caller);
  const asked = OWN.safeParse(body ?? {});
  if (!asked.success) throw new Problem('body-invalid', explain(asked.error));
  const { topics } = asked.data;
  return topics ? narrowed(caller, topics) : caller;
}

function userOf(body: object, { tenant, sub, scopes, issuedAt, keyId }: Caller): Caller {
  if (!scopes.has('tickets')) {
    throw new Problem(
      'scope-missing',
      'Use a credential with the scope "tickets" to get tickets for others.',
    );
  }
  const asked = USERS.safeParse(body);
  if (!asked.success) throw new Problem('body-invalid', explain(asked.error));
  const { exp = Infinity, ...claims } = asked.data;
  if (exp * 1000 <= Date.now()) throw new Problem('body-invalid', '"exp" must be a time to come.');
  return {
    ...callerFrom({ ...claims, tenant, scope: '', exp, iat: Date.now() / 1000 }),
    ...(keyId === undefined ? { minter: { sub, issuedAt } } : { keyId }),
  };
}

function requireFew(body: unknown, maxTopics: number): void {
  if (typeof body !== 'object' || body === null) return;
  const lists = Object.values(body).filter(value => Array.isArray(value)) as unknown[][];
  if (lists.every(({ length }) => length <= maxTopics)) return;
  throw new Problem(
    'topics-too-many',
    `Ask for at most ${maxTopics} topics, or for a whole kind with kind:*.`,
  );
}
