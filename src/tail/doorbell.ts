import { Injectable, Logger } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { Subject } from 'rxjs';
import { Database } from '../database/database.js';
import { reasonOf } from '../errors/reason.js';

const CHANNEL = 'belfry';
/** Rings are sent at most so often, in milliseconds: the first at once, the last of a burst after this. */
const RING_PAUSE_MS = 5;
/** The session rings for itself so often, in milliseconds; when the last ring was not heard by the next, it is dead. */
const HEARTBEAT_MS = 5_000;
/** Pause before the next try to connect, doubled each time; half of it is random. In milliseconds. */
const BACKOFF_MS = { first: 100, longest: 10_000 };

/**
 * The hint that the log has something new: NOTIFY with the head and nothing else. A hint may be lost, late or
 * doubled; the log alone says what is there.
 *
 *     stopped ─ start ─► connecting ─ LISTEN done ─► listening
 *                           ▲  ▲                        │
 *                           │  └──── backoff ◄──────────┘ session ended, or its own heartbeat was not heard
 *                           └ failed ──┘
 *
 * Any state ─ stop ─► stopped.
 */
@Injectable()
export class Doorbell {
  /** A head that somebody announced. */
  readonly heard = new Subject<number>();
  /** Emits each time LISTEN is in place: what was rung before that was missed. */
  readonly listening = new Subject<void>();
  /** Emits when the session was lost: perhaps the database is away. */
  readonly deaf = new Subject<void>();

  private readonly logger = new Logger(Doorbell.name);
  /** Bells of others that this session hears, too. */
  private readonly channels = new Map<string, Subject<void>>();
  private readonly heartbeatChannel = `belfry-heartbeat-${randomUUID()}`;
  private client: pg.Client | undefined;
  private heartbeat: NodeJS.Timeout | undefined;
  private heardHeartbeatAt = 0;
  private retry: NodeJS.Timeout | undefined;
  private failures = 0;
  private stopped = false;

  private ringTimer: NodeJS.Timeout | undefined;
  private isRinging = false;
  private toRing: number | undefined;
  private ringing: Promise<void> = Promise.resolve();

  constructor(private readonly database: Database) {}

  /** True while the session is there and was heard of lately. */
  get isListening(): boolean {
    return this.client !== undefined;
  }

  /** Emits when another bell is rung. To be asked for before the start. */
  channel(name: string): Subject<void> {
    const rung = new Subject<void>();
    this.channels.set(name, rung);
    return rung;
  }

  /** Resolves when LISTEN is in place. Rejects when the first try fails; later ones are repeated. */
  async start(): Promise<void> {
    await this.connect();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.retry);
    await this.ringing;
    clearTimeout(this.ringTimer);
    await this.drop();
    this.heard.complete();
    this.listening.complete();
    this.deaf.complete();
    for (const rung of this.channels.values()) rung.complete();
  }

  /** Tells all instances about a head. Never inside the transaction that made it (see ARCHITECTURE). */
  ring(head: number): void {
    this.toRing = Math.max(head, this.toRing ?? 0);
    if (this.isRinging || this.stopped) return;
    this.sendRing();
  }

  private sendRing(): void {
    const head = this.toRing;
    this.toRing = undefined;
    if (head === undefined) {
      this.isRinging = false;
      return;
    }
    this.isRinging = true;
    this.ringing = this.database
      .query({ name: 'ring', text: 'select pg_notify($1, $2)', values: [CHANNEL, String(head)] })
      .then(
        () => undefined,
        // The other instances find the events by their safety poll.
        (error: unknown) => {
          this.logger.warn(`the doorbell could not be rung: ${reasonOf(error)}`);
        },
      )
      .then(() => {
        // Never two at once: while the database is slow, what is to be rung adds up to one ring.
        this.ringTimer = setTimeout(() => {
          this.sendRing();
        }, RING_PAUSE_MS);
      });
  }

  private async connect(): Promise<void> {
    const client = this.database.listenSession();
    client.on('notification', ({ channel, payload }) => {
      if (channel === this.heartbeatChannel) this.heardHeartbeatAt = performance.now();
      else if (channel === CHANNEL) this.heard.next(Number(payload));
      else this.channels.get(channel)?.next();
    });
    try {
      await client.connect();
      const text = [CHANNEL, this.heartbeatChannel, ...this.channels.keys()]
        .map(name => `listen "${name}"`)
        .join('; ');
      await client.query({ text, query_timeout: HEARTBEAT_MS } as pg.QueryConfig);
    } catch (error) {
      void this.database.close(client);
      throw error;
    }
    if (this.stopped) {
      await this.database.close(client);
      return;
    }
    this.client = client;
    this.failures = 0;
    client.once('end', () => {
      this.lost(client, 'its session ended');
    });
    this.heardHeartbeatAt = performance.now();
    this.heartbeat = setInterval(() => {
      this.beat(client);
    }, HEARTBEAT_MS);
    this.listening.next();
  }

  private beat(client: pg.Client): void {
    if (performance.now() - this.heardHeartbeatAt > 1.5 * HEARTBEAT_MS) {
      this.lost(client, 'its heartbeat was not heard');
      return;
    }
    client.query('select pg_notify($1, $2)', [this.heartbeatChannel, '']).catch((error: unknown) => {
      this.lost(client, reasonOf(error));
    });
  }

  private lost(client: pg.Client, reason: string): void {
    if (this.client !== client) return;
    this.logger.warn(`the doorbell is not heard (${reason}); connecting again`);
    void this.drop();
    this.deaf.next();
    this.scheduleConnect();
  }

  private scheduleConnect(): void {
    if (this.stopped) return;
    const pause = Math.min(BACKOFF_MS.longest, BACKOFF_MS.first * 2 ** this.failures++);
    this.retry = setTimeout(
      () => {
        this.connect().catch((error: unknown) => {
          this.logger.warn(`the doorbell cannot be listened to: ${reasonOf(error)}`);
          this.scheduleConnect();
        });
      },
      pause * (0.5 + Math.random() / 2),
    );
  }

  /** Leaves the session for good. One with a query under way is cut, so that a dead peer is not waited for. */
  private async drop(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    clearInterval(this.heartbeat);
    if (client) await this.database.close(client);
  }
}
