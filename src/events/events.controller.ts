import { Controller, Get, Header, Headers, HttpCode, Inject, Post, Query, Req, Res } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiBody,
  ApiConsumes,
  ApiCreatedResponse,
  ApiHeader,
  ApiOkResponse,
  ApiOperation,
  ApiQuery,
  ApiTags,
} from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { CurrentCaller, Scope } from '../access/access.decorators.js';
import type { Caller } from '../access/caller.js';
import { CONFIG, type Config } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import type { Parameters } from '../stream/stream.request.js';
import { History } from './history.js';
import { PUBLISH_SCHEMA } from './events.schema.js';
import { requireIdempotencyKey } from './idempotency.key.js';
import { LinePublisher, type LinesStored } from './line.publisher.js';
import { type BodyReader, bodyReader, mediaTypeOf, parseBody } from './publish.body.js';
import { Publisher } from './publisher.js';

/** `<epoch>.<seq>` of each event, and whether it was stored before under the same key. */
interface Published {
  readonly events: { readonly id: string; readonly duplicate: boolean }[];
}

/** Publishing and history: `/v1/events` (see PROTOCOL). */
@ApiTags('events')
@ApiBearerAuth()
@Controller('v1/events')
export class EventsController {
  private readonly readBody: BodyReader;

  constructor(
    private readonly publisher: Publisher,
    private readonly linePublisher: LinePublisher,
    private readonly history: History,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.readBody = bodyReader(config.maxBodyBytes);
  }

  @Post()
  @HttpCode(201)
  @Scope('publish')
  @ApiOperation({ summary: 'Publish events; answers when they are committed.' })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Makes a repeat answer the first ids.',
  })
  @ApiConsumes('application/json', 'application/x-ndjson')
  @ApiBody({ schema: PUBLISH_SCHEMA })
  @ApiCreatedResponse({
    description: 'The id of each event, in order; for NDJSON how many lines are stored.',
  })
  async publish(
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
    @Headers('idempotency-key') idempotencyKey: string | undefined,
    @CurrentCaller() caller: Caller,
  ): Promise<Published | LinesStored> {
    requireIdempotencyKey(idempotencyKey);
    switch (mediaTypeOf(request)) {
      case 'application/json': {
        const body = await this.readBody(request, response);
        const events = parseBody(body, this.config.maxDataBytes);
        return { events: await this.publisher.publishRequest(caller.tenant, events, idempotencyKey) };
      }
      case 'application/x-ndjson':
        return this.linePublisher.publish(caller, request, idempotencyKey);
      default:
        throw new Problem(
          'media-type-unsupported',
          'Send events as application/json or application/x-ndjson.',
        );
    }
  }

  @Get()
  @Header('Content-Type', 'application/json; charset=utf-8')
  @ApiOperation({ summary: 'Read events page by page, or wait for the next ones.' })
  @ApiQuery({
    name: 'topic',
    required: false,
    isArray: true,
    description: 'kind:id, kind:* or *; at most 100, unless MAX_TOPICS says otherwise.',
  })
  @ApiQuery({ name: 'type', required: false, isArray: true })
  @ApiQuery({
    name: 'after',
    required: false,
    description: 'A cursor; left out: from the oldest event kept.',
  })
  @ApiQuery({ name: 'limit', required: false, description: '1 to 1,000; 100 when left out.' })
  @ApiQuery({ name: 'wait', required: false, description: 'How long to wait for an event, such as 25s.' })
  @ApiQuery({ name: 'collapse', required: false, type: Boolean })
  @ApiOkResponse({ description: 'A page of events, and the cursor to read on from.' })
  async read(
    @Query() query: Parameters,
    @Res({ passthrough: true }) response: Response,
    @CurrentCaller() caller: Caller,
  ): Promise<string> {
    return this.history.read(query, caller, response);
  }
}
