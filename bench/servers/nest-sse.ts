import 'reflect-metadata';
import { Controller, type MessageEvent, Module, Post, Req, Sse } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { type Observable, Subject } from 'rxjs';

/** Nest's own `@Sse()`, as its documentation shows it: one Subject, and objects as data. */
const events = new Subject<MessageEvent>();
let published = 0;

@Controller()
class EventsController {
  @Sse('stream')
  stream(): Observable<MessageEvent> {
    return events;
  }

  @Post('publish')
  async publish(@Req() request: IncomingMessage): Promise<string> {
    for (const line of (await text(request)).split('\n')) {
      events.next({ id: String(++published), type: 'tick', data: JSON.parse(line) as object });
    }
    return 'ok';
  }
}

@Module({ controllers: [EventsController] })
class AppModule {}

const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: false, bodyParser: false });
await app.listen(0, '127.0.0.1');
console.log(`listening at ${await app.getUrl()}`);
