import { Body, Controller, HttpCode, Inject, Post, Req } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { IncomingMessage } from 'node:http';
import { SignJWT } from 'jose';
import { z } from 'zod';

import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import { Public } from './access.decorators.js';
import { CLAIMS, explain } from './claims.js';
import { JwtSecret } from './jwt-secret.js';
import { TOKEN_LENGTH } from './token.verifier.js';

const LIFETIME_SECONDS = 3600;

/** The claims asked for; `exp` may have passed already, which is how an expired token is tried out. */
const REQUEST = z.strictObject(CLAIMS.omit({ iat: true }).partial({ exp: true }).shape, {
  error: () =>
    'Send a JSON object with "sub" and, where wanted, "tenant", "roles", "topics", "scope" and "exp".',
});

/** Signs any token for anyone: exists in demo mode only. */
@ApiTags('demo')
@Controller('demo')
export class DemoController {
  constructor(
    private readonly secret: JwtSecret,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Post('token')
  @HttpCode(200)
  @Public()
  @ApiOperation({ summary: 'Signs a token with any claims, in demo mode only', security: [] })
  @ApiBody({ schema: z.toJSONSchema(REQUEST, { io: 'input', target: 'openapi-3.0' }) as object })
  @ApiOkResponse({ schema: { type: 'object', properties: { token: { type: 'string' } } } })
  async token(@Req() request: IncomingMessage, @Body() body: unknown): Promise<{ token: string }> {
    if (body === undefined && request.headers['content-type'] !== undefined)
      throw new Problem('media-type-unsupported');
    const { key } = this.secret;
    if (key === undefined) throw new Error('demo mode always has a secret');
    const claims = REQUEST.safeParse(body);
    if (!claims.success) throw new Problem('body-invalid', explain(claims.error));

    const now = Math.floor(Date.now() / 1000);
    const { jwtIssuer, jwtAudience } = this.config;
    const token = await new SignJWT({
      ...claims.data,
      iat: now,
      exp: claims.data.exp ?? now + LIFETIME_SECONDS,
      ...(jwtIssuer === undefined ? {} : { iss: jwtIssuer }),
      ...(jwtAudience === undefined ? {} : { aud: jwtAudience }),
    })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(key);
    if (token.length > TOKEN_LENGTH)
      throw new Problem('body-invalid', 'Ask for fewer claims: the token is too long.');
    return { token };
  }
}
