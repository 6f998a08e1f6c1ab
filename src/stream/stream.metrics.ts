import { Injectable } from '@nestjs/common';
import { Metrics } from '../operations/metrics.js';
import { StreamTally } from './stream.tally.js';
import { Subscriptions } from './subscriptions.js';

/** What streams have to say in numbers. */
@Injectable()
export class StreamMetrics {
  constructor(metrics: Metrics, subscriptions: Subscriptions, tally: StreamTally) {
    metrics.gauge('belfry_streams_open', 'Streams that are open.', () => subscriptions.count);
    metrics.totals(
      'belfry_streams_ended_total',
      'Streams that are over, by the reason that their end gave, or else what became of them.',
      'reason',
      () => tally.ended,
    );
    metrics.totals(
      'belfry_streams_refused_total',
      'Streams whose clients were answered with 200 and told to come back later, by reason.',
      'reason',
      () => tally.refused,
    );
    metrics.totals(
      'belfry_events_delivered_total',
      'Events written to the sockets of streams, once for each socket: live, or to a client that caught up.',
      'way',
      () => ({ live: tally.live, 'catch-up': tally.caughtUp }),
    );
  }
}
