import { Controller, Get, Param, Req, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { Request, Response } from 'express';

import { Public } from '../access/access.decorators.js';
import { Problem } from '../errors/problem.js';
import { DemoPages, type PageName } from './demo.pages.js';

/** The bell with two users to try it out: exists in demo mode only. */
@ApiExcludeController()
@Controller()
@Public()
export class DemoPagesController {
  constructor(private readonly pages: DemoPages) {}

  @Get()
  index(@Req() request: Request, @Res() response: Response): Promise<void> {
    return this.send('index.html', request, response);
  }

  @Get('demo/:file')
  async file(@Param('file') file: string, @Req() request: Request, @Res() response: Response): Promise<void> {
    if (!DemoPages.isPage(file)) throw new Problem('not-found');
    await this.send(file, request, response);
  }

  private async send(name: PageName, request: Request, response: Response): Promise<void> {
    const { type, body, etag } = await this.pages.page(name);
    // Kept, but asked for each time: after an update nobody sees yesterday's script with today's page.
    response.set({ 'Content-Type': type, ETag: etag, 'Cache-Control': 'no-cache' });
    if (request.fresh) response.status(304).end();
    else response.end(body);
  }
}
