import { Injectable } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { whenOver } from './response-over.js';

/**
 * Lets connections end without a cut. Whoever publishes back to back on one connection learns from its next answer
 * that it is the last one; a server that just closed would meet the next request half-way (RFC 9112, section 9.6).
 */
@Injectable()
export class KeepAlive {
  private readonly open = new Set<ServerResponse>();
  private ending = false;

  /** To be called for every request. */
  watch(_request: IncomingMessage, response: ServerResponse): void {
    if (this.ending) response.setHeader('Connection', 'close');
    this.open.add(response);
    whenOver(response, () => this.open.delete(response));
  }

  /** From now on every answer is the last on its connection. */
  end(): void {
    this.ending = true;
    for (const response of this.open) {
      if (!response.headersSent) response.setHeader('Connection', 'close');
    }
  }
}
