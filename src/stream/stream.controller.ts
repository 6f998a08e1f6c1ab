import {
  Controller,
  Headers,
  HttpCode,
  Inject,
  Query,
  type MessageEvent,
  RequestMethod,
  Sse,
} from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiBody,
  ApiOkResponse,
  ApiOperation,
  ApiProduces,
  ApiQuery,
  ApiTags,
} from '@nestjs/swagger';
import type { IncomingHttpHeaders } from 'node:http';
import { type Observable, of } from 'rxjs';
import { StreamCaller } from '../access/access.decorators.js';
import type { Caller, TurnedAway } from '../access/caller.js';
import { CONFIG, type Config } from '../config/config.js';
import { JsonBody } from '../errors/json.body.js';
import { Problem } from '../errors/problem.js';
import { Chunk } from './chunk.js';
import { overload, ticketSpent } from './control.frames.js';
import { type Outlet, RequestOutlet } from './outlet.js';
import { sseResponse } from './sse.response.js';
import { type Parameters, parseSubscription } from './stream.request.js';
import { StreamTally } from './stream.tally.js';
import { Subscriptions } from './subscriptions.js';

const EVENT_STREAM = { description: 'An event stream that stays open.', schema: { type: 'string' } } as const;

/** `GET /v1/stream`: the event stream (see PROTOCOL). */
@ApiTags('stream')
@ApiBearerAuth()
@Controller('v1/stream')
export class StreamController {
  constructor(
    private readonly subscriptions: Subscriptions,
    private readonly tally: StreamTally,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Sse()
  @ApiOperation({ summary: 'Hear events as they are published, after those that were missed.' })
  @ApiQuery({
    name: 'topic',
    required: false,
    isArray: true,
    description: 'kind:id, kind:* or *; at most 100, unless MAX_TOPICS says otherwise.',
  })
  @ApiQuery({ name: 'type', required: false, isArray: true, description: 'Only events of these types.' })
  @ApiQuery({
    name: 'lastEventId',
    required: false,
    description: 'The cursor to go on from; "earliest" for everything kept. The header Last-Event-ID wins.',
  })
  @ApiQuery({
    name: 'ticket',
    required: false,
    description: 'A ticket from POST /v1/tickets, in the place of any other credential.',
  })
  @ApiQuery({ name: 'heartbeat', required: false, enum: ['event'] })
  @ApiQuery({ name: 'named', required: false, type: Boolean, description: 'false: no event: lines.' })
  @ApiQuery({
    name: 'collapse',
    required: false,
    type: Boolean,
    description: 'false: superseded events too.',
  })
  @ApiProduces('text/event-stream')
  @ApiOkResponse(EVENT_STREAM)
  stream(
    @Query() query: Parameters,
    @Headers() headers: IncomingHttpHeaders,
    @StreamCaller() caller: Caller | TurnedAway,
    @RequestOutlet() outlet: Outlet,
  ): Observable<Partial<MessageEvent>> {
    return this.open(query, headers, caller, outlet);
  }

  @Sse('', { method: RequestMethod.POST })
  @HttpCode(200)
  @ApiOperation({ summary: 'The same, with its parameters as JSON: for long lists of topics.' })
  @ApiBody({
    schema: {
      type: 'object',
      properties: {
        topics: { type: 'array', items: { type: 'string' } },
        types: { type: 'array', items: { type: 'string' } },
        lastEventId: { type: 'string' },
        heartbeat: { type: 'string', enum: ['event'] },
        named: { type: 'boolean' },
        collapse: { type: 'boolean' },
      },
    },
  })
  @ApiProduces('text/event-stream')
  @ApiOkResponse(EVENT_STREAM)
  streamByPost(
    @JsonBody() body: unknown,
    @Headers() headers: IncomingHttpHeaders,
    @StreamCaller() caller: Caller | TurnedAway,
    @RequestOutlet() outlet: Outlet,
  ): Observable<Partial<MessageEvent>> {
    return this.open(toParameters(body), headers, caller, outlet);
  }

  private open(
    parameters: Parameters,
    headers: IncomingHttpHeaders,
    caller: Caller | TurnedAway,
    outlet: Outlet,
  ): Observable<Partial<MessageEvent>> {
    if (typeof caller === 'string') {
      this.tally.refused[caller]++;
      return sseResponse(outlet, of(Chunk.of(caller === 'overload' ? overload() : ticketSpent())));
    }
    const subscription = parseSubscription(parameters, headers, caller, this.config.maxTopics);
    return sseResponse(outlet, this.subscriptions.subscribe(subscription, outlet));
  }
}

function toParameters(body: unknown): Parameters {
  if (body === undefined) return {};
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new Problem('body-invalid', 'Send the parameters of the stream as one JSON object.');
  }
  return body as Parameters;
}
