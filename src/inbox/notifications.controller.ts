import { Controller, Delete, Headers, HttpCode, Inject, Param, Post, Req, Res } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiBody,
  ApiCreatedResponse,
  ApiHeader,
  ApiNoContentResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { CurrentCaller, Scope } from '../access/access.decorators.js';
import type { Caller } from '../access/caller.js';
import { CONFIG, type Config } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import { requireIdempotencyKey } from '../events/idempotency.key.js';
import { type BodyReader, bodyReader, mediaTypeOf, readItems } from '../events/publish.body.js';
import { NOTIFY_SCHEMA } from './inbox.schema.js';
import { parseNotification } from './notification.parser.js';
import { Notifications, type Sent } from './notifications.js';

/** The ids, in order, and what they belong to; or the id of one that is scheduled. */
type Answer = { ids: string[]; notifications: Sent[] } | { scheduled: string };

/** `/v1/notifications` (see PROTOCOL). */
@ApiTags('inbox')
@ApiBearerAuth()
@Controller('v1/notifications')
@Scope('inbox')
export class NotificationsController {
  private readonly readBody: BodyReader;

  constructor(
    private readonly notifications: Notifications,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.readBody = bodyReader(config.maxBodyBytes);
  }

  @Post()
  @HttpCode(201)
  @ApiOperation({ summary: 'Send notifications to users, roles or all; answers when they are committed.' })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Makes a repeat answer the first ids.',
  })
  @ApiBody({ schema: NOTIFY_SCHEMA })
  @ApiCreatedResponse({
    description: 'The id of each, in order, one for each topic; with deliverAt {"scheduled"}.',
  })
  async send(
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
    @Headers('idempotency-key') key: string | undefined,
    @CurrentCaller() { tenant }: Caller,
  ): Promise<Answer> {
    requireIdempotencyKey(key);
    if (mediaTypeOf(request) !== 'application/json') throw new Problem('media-type-unsupported');
    const notifications = readItems(await this.readBody(request, response), 'notifications').map(
      ({ value, data }, index) => parseNotification(value, data, index, this.config),
    );
    const sent = await this.notifications.send(tenant, notifications, key);
    const [first] = sent;
    if (sent.length === 1 && first && 'scheduled' in first) return first;
    return { ids: sent.flatMap(one => ('id' in one ? [one.id] : [])), notifications: sent };
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiOperation({ summary: 'Take a notification back, by its id or by that of a scheduled one.' })
  @ApiNoContentResponse({ description: 'Inboxes and replays have forgotten it.' })
  async retract(@Param('id') id: string, @CurrentCaller() { tenant }: Caller): Promise<void> {
    await this.notifications.retract(tenant, id);
  }
}
