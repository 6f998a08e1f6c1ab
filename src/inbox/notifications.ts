import { createHash, randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { Outage } from '../errors/outage.js';
import { Problem } from '../errors/problem.js';
import { MAX_EVENTS } from '../events/publish.body.js';
import { Publisher } from '../events/publisher.js';
import { parseCursor } from '../log/cursor.js';
import { type NewEvent, RETRACTABLE } from '../log/event.js';
import type { NewNotification } from './notification.parser.js';

/** Where a notification is, or how to take it back before it is due. */
export type Sent =
  | { readonly id: string; readonly topic: string; readonly duplicate: boolean }
  | { readonly scheduled: string };

/** SQLSTATE of belfry.schedule for an id that was used with another body. */
const MISMATCH = 'BF031';
/** Between two looks for what is on its way to the log, in milliseconds. */
const RETRY_MS = 5;
const ARE_OUT = `
  select not exists (
    select from belfry.notifications n
    where n.seq = any($2) and n.tenant = $1 and not exists (
      select from belfry.events e where e.tenant = n.tenant and e.topic = n.topic and e.key = 'retracted ' || n.seq)
  ) as out`;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Sends notifications, now or when they are due, and takes them back. */
@Injectable()
export class Notifications {
  constructor(
    private readonly publisher: Publisher,
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Sends those of one request, all of them or none.
   *
   * @param key the Idempotency-Key
   * @returns one for each topic of each, in order; when they are scheduled, one for each
   * @throws Problem when they are not sent, or not certainly so
   */
  async send(
    tenant: string,
    notifications: readonly NewNotification[],
    key: string | undefined,
  ): Promise<Sent[]> {
    const count = notifications.reduce((sum, { topics }) => sum + topics.length, 0);
    if (count > MAX_EVENTS) {
      throw new Problem(
        'events-too-many',
        `The request makes ${count} notifications, one for each topic, and may make ${MAX_EVENTS}: split it.`,
      );
    }
    const scheduled = notifications.filter(({ deliverAt }) => deliverAt !== null);
    if (scheduled.length === 0) return this.publish(tenant, notifications, key);
    if (scheduled.length === notifications.length) return this.schedule(tenant, notifications, key);
    throw new Problem(
      'body-invalid',
      'Send notifications with "deliverAt" in a request of their own: those and others are not stored together.',
    );
  }

  /**
   * Takes back a notification by either id, so that inboxes and replays forget it.
   *
   * @throws Problem `notification-unknown`
   */
  async retract(tenant: string, id: string): Promise<void> {
    const deadline = performance.now() + this.config.publishTimeoutMs;
    const seqs = UUID.test(id)
      ? await this.unschedule(tenant, id, deadline)
      : await this.retractFromLog(tenant, id);
    if (!seqs) throw new Problem('notification-unknown');
    // It is certain by now; who replays from here on is not to meet it either.
    while (!(await this.areOut(tenant, seqs)) && performance.now() < deadline) await setTimeout(RETRY_MS);
  }

  private async publish(
    tenant: string,
    notifications: readonly NewNotification[],
    key: string | undefined,
  ): Promise<Sent[]> {
    const events = notifications.flatMap(eventsOf);
    const placed = await this.publisher.publishRequest(tenant, events, key);
    return placed.map(({ id, duplicate }, index) => ({ id, topic: events[index]?.topic ?? '', duplicate }));
  }

  private async schedule(
    tenant: string,
    notifications: readonly NewNotification[],
    key: string | undefined,
  ): Promise<Sent[]> {
    const request = key === undefined ? undefined : digestOf(notifications);
    const due = notifications.map((notification, index) => ({
      id: idOf(tenant, notification, key, index),
      topics: notification.topics,
      key: notification.key,
      content: notification.content,
      expiresAt: isoOf(notification.expiresAt),
      deliverAt: isoOf(notification.deliverAt),
      digest: notification.dedupeId === null && request !== undefined ? request : digestOf(notification),
    }));
    try {
      await this.store(tenant, JSON.stringify(due));
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code === MISMATCH)
        throw new Problem('idempotency-mismatch');
      throw error;
    }
    return due.map(({ id }) => ({ scheduled: id }));
  }

  /** What was stored already is not stored again, so an answer that was lost is no harm: it is asked for once more. */
  private async store(tenant: string, due: string): Promise<void> {
    const query = { text: 'select belfry.schedule($1, $2)', values: [tenant, due] };
    try {
      await this.database.inbox(query);
    } catch (error) {
      if (!(error instanceof Outage)) throw error;
      await this.database.inbox(query).catch((again: unknown) => {
        throw again instanceof Outage ? new Problem('outcome-unknown', undefined, { cause: again }) : again;
      });
    }
  }

  private async retractFromLog(tenant: string, id: string): Promise<string[] | undefined> {
    const cursor = parseCursor(id);
    if (!cursor || !Number.isSafeInteger(cursor.seq)) return undefined;
    const [row] = await this.database.inbox<{ seq: string | null }>({
      text: 'select belfry.retract($1, $2, $3) as seq',
      values: [tenant, id, cursor.seq],
    });
    return row?.seq ? [row.seq] : undefined;
  }

  private async unschedule(tenant: string, id: string, deadline: number): Promise<string[] | undefined> {
    const query = { text: 'select known, seqs from belfry.unschedule($1, $2)', values: [tenant, id] };
    for (;;) {
      const [row] = await this.database.inbox<{ known: boolean | null; seqs: string[] }>(query);
      if (typeof row?.known === 'boolean') return row.known ? row.seqs : undefined;
      // It was due just now and is not in the log yet: any instance is about to put it there.
      if (performance.now() > deadline) throw new Problem('database-unavailable');
      await setTimeout(RETRY_MS);
    }
  }

  /** Whether the log says that they were taken back. */
  private async areOut(tenant: string, seqs: readonly string[]): Promise<boolean> {
    const [row] = await this.database.inbox<{ out: boolean }>({ text: ARE_OUT, values: [tenant, seqs] });
    return row?.out === true;
  }
}

/** One event for each topic; a dedupeId is that of one of them. */
function eventsOf({ topics, key, content, expiresAt, dedupeId }: NewNotification): NewEvent[] {
  return topics.map(topic => ({
    topic,
    type: RETRACTABLE,
    data: content,
    key,
    expiresAt,
    dedupeId: dedupeId === null || topics.length === 1 ? dedupeId : `${dedupeId} ${topic}`,
  }));
}

/** The same for a repeat, as belfry.notify makes it; else a random one. */
function idOf(tenant: string, { dedupeId }: NewNotification, key: string | undefined, index: number): string {
  if (key === undefined && dedupeId === null) return randomUUID();
  const name = dedupeId === null ? `request ${index} ${key ?? ''}` : `event ${dedupeId}`;
  const hex = createHash('sha256').update(`${tenant} ${name}`).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  );
}

function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url').slice(0, 22);
}

function isoOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
