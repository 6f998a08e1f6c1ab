import { Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiBody,
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import { z } from 'zod';

import { JsonBody } from '../errors/json.body.js';
import { Problem } from '../errors/problem.js';
import { CurrentCaller, Scope } from './access.decorators.js';
import { type ApiKey, ApiKeys } from './api.keys.js';
import type { Caller } from './caller.js';
import { explain } from './claims.js';
import { KEY_REQUEST } from './key.request.js';

const BODY = KEY_REQUEST.extend({ tenant: z.string('the tenant of the credential').optional() });

type CreatedKey = Omit<ApiKey, 'revokedAt' | 'lastUsedAt'> & { readonly key: string };

/** `/v1/admin/keys`: the API keys of the caller's tenant. */
@ApiTags('admin')
@ApiBearerAuth()
@Controller('v1/admin/keys')
@Scope('admin')
export class KeysController {
  constructor(private readonly keys: ApiKeys) {}

  @Post()
  @HttpCode(201)
  @ApiOperation({ summary: 'Make an API key; the answer is the only one that has it.' })
  @ApiBody({ schema: z.toJSONSchema(BODY, { io: 'input', target: 'openapi-3.0' }) as object })
  @ApiCreatedResponse({ description: 'The key, its id and what it may do.' })
  async create(@JsonBody() body: unknown, @CurrentCaller() { tenant }: Caller): Promise<CreatedKey> {
    const asked = BODY.safeParse(body);
    if (!asked.success) throw new Problem('body-invalid', explain(asked.error));
    if (asked.data.tenant !== undefined && asked.data.tenant !== tenant)
      throw new Problem('tenant-forbidden');

    const { name, scopes, expiresAt } = asked.data;
    const expiry = typeof expiresAt === 'string' ? new Date(expiresAt) : null;
    const made = await this.keys.create({ tenant, name, scopes, expiresAt: expiry });
    return {
      id: made.id,
      key: made.key,
      tenant: made.tenant,
      name: made.name,
      scopes: made.scopes,
      createdAt: made.createdAt,
      expiresAt: made.expiresAt,
    };
  }

  @Get()
  @ApiOperation({ summary: 'The API keys of the tenant, newest first, expired and revoked ones too.' })
  @ApiOkResponse({ description: 'All about each key but the key itself.' })
  async list(@CurrentCaller() { tenant }: Caller): Promise<{ keys: ApiKey[] }> {
    return { keys: await this.keys.list(tenant) };
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiOperation({ summary: 'Revoke an API key; its streams end, and it is not taken any more.' })
  @ApiNoContentResponse({ description: 'It is revoked.' })
  async revoke(@Param('id') id: string, @CurrentCaller() { tenant }: Caller): Promise<void> {
    if (!(await this.keys.revoke(id, tenant)))
      throw new Problem('not-found', 'Give the id of a key of this tenant, as the list has it.');
  }
}
