import { Injectable } from '@nestjs/common';
import { Appender } from '../log/appender.js';
import { LogReader } from '../log/log.reader.js';
import { OutboxTally } from '../log/outbox.tally.js';
import { Doorbell } from '../tail/doorbell.js';
import { Tail } from '../tail/tail.js';
import { Metrics } from './metrics.js';

/** Limits of the buckets of a call of Postgres, in seconds. */
const CALL_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** What the log and the tail have to say in numbers. */
@Injectable()
export class LogMetrics {
  constructor(
    metrics: Metrics,
    appender: Appender,
    reader: LogReader,
    outbox: OutboxTally,
    doorbell: Doorbell,
    tail: Tail,
  ) {
    metrics.total(
      'belfry_events_appended_total',
      'Events that this instance stored in the log.',
      () => appender.eventsStored,
    );
    const calls = metrics.durations(
      'belfry_append_duration_seconds',
      'How long a call of Postgres that appends took, with all the requests in it, whatever came of it.',
      CALL_SECONDS,
    );
    appender.called.subscribe(ms => {
      calls.observe(ms / 1_000);
    });
    metrics.gauge(
      'belfry_append_queue_requests',
      'Publish requests that wait for their turn.',
      () => appender.waiting.requests,
    );
    metrics.gauge(
      'belfry_append_queue_bytes',
      'What they take of PUBLISH_QUEUE_BYTES.',
      () => appender.waiting.size,
    );

    metrics.total(
      'belfry_outbox_moved_total',
      'Events published by SQL that this instance moved to the log, repeats of a dedupe_id included.',
      () => outbox.moved,
    );
    metrics.total(
      'belfry_outbox_rejected_total',
      'Events published by SQL that this instance set aside, because they cannot be stored.',
      () => outbox.rejected,
    );
    metrics.gauge(
      'belfry_outbox_rejected_rows',
      'Rows of belfry.outbox_rejected a few seconds ago: events that some instance set aside; 1000 is 1000 or more.',
      () => outbox.setAside,
    );

    metrics.gauge(
      'belfry_outbox_stalled_seconds',
      'How long events published by SQL have waited while no instance moved any; a few seconds late.',
      () => outbox.stalledMs / 1_000,
    );

    metrics.gauge(
      'belfry_tail_position',
      'The newest seq of the log that this instance has taken.',
      () => tail.position,
    );
    metrics.gauge(
      'belfry_log_head',
      'The newest seq of the log, as this instance last looked, about once a second.',
      () => tail.head,
    );
    metrics.gauge('belfry_log_floor', 'The oldest seq that the log still keeps.', () => tail.floor);
    metrics.gauge(
      'belfry_tail_lag_seconds',
      'How long ago this instance last knew how far the log goes.',
      () => tail.staleMs / 1_000,
    );
    metrics.gauge(
      'belfry_doorbell_listening',
      '1 while this instance hears the bells of the others, else 0.',
      () => (doorbell.isListening ? 1 : 0),
    );
    metrics.total(
      'belfry_replay_queries_total',
      'Pages of the log that Postgres was asked for by streams that caught up, and by reads of history.',
      () => reader.replayQueries,
    );
  }
}
