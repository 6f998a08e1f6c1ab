import { Injectable } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Counter } from 'prom-client';
import { answeredWith } from '../errors/problem.filter.js';
import { Metrics } from './metrics.js';

/** What a label says where there is nothing to say; anything may be asked for, and nothing of it becomes a label. */
const NONE = 'none';

/** Express notes the route that it found. */
type Routed = IncomingMessage & { readonly route?: { readonly path: string } };

/** Counts requests by what there is a bounded number of. */
@Injectable()
export class HttpMetrics {
  private readonly requests: Counter<'method' | 'route' | 'status' | 'code'>;

  constructor(metrics: Metrics) {
    this.requests = metrics.counter(
      'belfry_http_requests_total',
      'Requests that are over, a stream when it ends: by route, status, and code of the error (docs/errors.md).',
      ['method', 'route', 'status', 'code'],
    );
  }

  /** To be called once for each request, when it is over. */
  count({ method = NONE, route }: Routed, response: ServerResponse): void {
    this.requests.inc({
      method: route ? method : NONE,
      route: route?.path ?? NONE,
      status: response.headersSent ? response.statusCode : NONE,
      code: answeredWith(response) ?? NONE,
    });
  }
}
