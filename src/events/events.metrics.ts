import { Injectable } from '@nestjs/common';
import { Metrics } from '../operations/metrics.js';
import { History } from './history.js';

/** What reading page by page has to say in numbers. */
@Injectable()
export class EventsMetrics {
  constructor(metrics: Metrics, history: History) {
    metrics.gauge(
      'belfry_long_polls_waiting',
      'Reads of history that wait for an event.',
      () => history.waitingReads,
    );
  }
}
