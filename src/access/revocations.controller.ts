import { Controller, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiCreatedResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { JsonBody } from '../errors/json.body.js';
import { Problem } from '../errors/problem.js';
import { CurrentCaller, Scope } from './access.decorators.js';
import type { Caller } from './caller.js';
import { CLAIMS, explain, TENANT_NAME } from './claims.js';
import { Revocations } from './revocations.js';

const { sub } = CLAIMS.shape;
const tenant = TENANT_NAME.optional();
const REQUEST = z.union([z.strictObject({ sub, tenant }), z.strictObject({ keyId: z.string(), tenant })], {
  error: () => 'Send {"sub": "…"} to revoke what a user was issued, or {"keyId": "…"} to revoke an API key.',
});

/** `POST /v1/admin/revocations` (see PROTOCOL). */
@ApiTags('access')
@ApiBearerAuth()
@Controller('v1/admin/revocations')
@Scope('admin')
export class RevocationsController {
  constructor(private readonly revocations: Revocations) {}

  @Post()
  @ApiOperation({
    summary:
      'Takes back an API key, or all that a user was issued until now, and ends their streams everywhere.',
  })
  @ApiBody({ schema: z.toJSONSchema(REQUEST, { io: 'input', target: 'openapi-3.0' }) as object })
  @ApiCreatedResponse({ description: 'What was revoked, and when.' })
  async create(@JsonBody() body: unknown, @CurrentCaller() caller: Caller): Promise<object> {
    const asked = REQUEST.safeParse(body);
    if (!asked.success) throw new Problem('body-invalid', explain(asked.error));
    const { tenant: named = caller.tenant, ...what } = asked.data;
    if (named !== caller.tenant) throw new Problem('tenant-forbidden');
    const revokedAt = await this.revocations.revoke(caller.tenant, what);
    if (!revokedAt) throw new Problem('not-found', 'Check "keyId": there is no such API key.');
    return { tenant: caller.tenant, ...what, revokedAt };
  }
}
