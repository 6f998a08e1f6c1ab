import { Controller, Get, Header, HttpCode, Param, Patch, Post, Put, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { CurrentCaller } from '../access/access.decorators.js';
import type { Caller } from '../access/caller.js';
import { JsonBody } from '../errors/json.body.js';
import type { Parameters } from '../stream/stream.request.js';
import { type Counts, Inbox } from './inbox.js';
import {
  flagOf,
  MARK,
  ownerOf,
  parseBody,
  parseId,
  parsePage,
  parsePlace,
  PREFERENCES,
  type Preferences,
  TOUCH,
} from './inbox.request.js';
import { schemaOf } from './inbox.schema.js';

const JSON_TYPE = 'application/json; charset=utf-8';

/** `/v1/inbox`: what the bell shows its user (see PROTOCOL). */
@ApiTags('inbox')
@ApiBearerAuth()
@Controller('v1/inbox')
export class InboxController {
  constructor(private readonly inbox: Inbox) {}

  @Get()
  @Header('Content-Type', JSON_TYPE)
  @ApiOperation({ summary: 'A page of the inbox, newest first, with counts and the cursor to stream from.' })
  @ApiQuery({
    name: 'status',
    required: false,
    enum: ['unread', 'unseen', 'read', 'archived', 'snoozed', 'all'],
  })
  @ApiQuery({ name: 'type', required: false })
  @ApiQuery({ name: 'before', required: false, description: 'The id of the last item of the page before.' })
  @ApiQuery({ name: 'limit', required: false, description: '1 to 200; 50 when left out.' })
  @ApiOkResponse({ description: 'Items, counts and cursor of one snapshot.' })
  page(@Query() query: Parameters, @CurrentCaller() caller: Caller): Promise<string> {
    return this.inbox.page(ownerOf(caller), parsePage(query));
  }

  @Get('counts')
  @ApiOperation({ summary: 'How many are unread and unseen: exact to 99, and 100 for more.' })
  @ApiOkResponse({ description: 'The counts, and the cursor up to which they count.' })
  counts(@CurrentCaller() caller: Caller): Promise<Counts> {
    return this.inbox.counts(ownerOf(caller));
  }

  @Post('mark')
  @HttpCode(200)
  @ApiOperation({ summary: 'Mark everything, or what is of one type, as read, seen or archived.' })
  @ApiBody({ schema: schemaOf(MARK) })
  @ApiOkResponse({ description: 'The counts after it.' })
  async mark(@JsonBody() body: unknown, @CurrentCaller() caller: Caller): Promise<{ counts: Counts }> {
    const mark = parseBody(MARK, body);
    const upTo = mark.upTo === undefined ? undefined : parsePlace(mark.upTo);
    return { counts: await this.inbox.mark(ownerOf(caller), flagOf(mark), upTo, mark.type) };
  }

  @Get('preferences')
  @ApiOperation({ summary: 'Muted types and quiet hours.' })
  @ApiOkResponse({ description: 'The preferences of the user.' })
  preferences(@CurrentCaller() caller: Caller): Promise<Preferences> {
    return this.inbox.preferences(ownerOf(caller));
  }

  @Put('preferences')
  @ApiOperation({ summary: 'Replace the preferences.' })
  @ApiBody({ schema: schemaOf(PREFERENCES) })
  @ApiOkResponse({ description: 'The preferences as they are now.' })
  async prefer(@JsonBody() body: unknown, @CurrentCaller() caller: Caller): Promise<Preferences> {
    const preferences = parseBody(PREFERENCES, body);
    await this.inbox.prefer(ownerOf(caller), preferences);
    return preferences;
  }

  @Patch(':id')
  @Header('Content-Type', JSON_TYPE)
  @ApiOperation({ summary: 'Mark one item as read, seen or archived, or not; or put it off until a time.' })
  @ApiBody({ schema: schemaOf(TOUCH) })
  @ApiOkResponse({ description: 'The item as it is now, and the counts.' })
  touch(
    @Param('id') id: string,
    @JsonBody() body: unknown,
    @CurrentCaller() caller: Caller,
  ): Promise<string> {
    return this.inbox.touch(ownerOf(caller), parseId(id), parseBody(TOUCH, body));
  }
}
