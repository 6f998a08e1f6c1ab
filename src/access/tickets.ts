import { Inject, Injectable } from '@nestjs/common';
import { createHash, randomBytes } from 'node:crypto';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { Problem } from '../errors/problem.js';
import type { Caller } from './caller.js';
import { SharedQuery } from './shared.query.js';

const SECRET_BYTES = 32;
const TICKET = /^bt_[A-Za-z0-9_-]{43}$/;
/** Expired ones are cleared away by those who get new ones, so many at a time. */
const CLEARED_AT_ONCE = 100;

export interface Ticket {
  /** Told once: only its hash is kept. */
  readonly ticket: string;
  /** By the database's clock. */
  readonly expiresAt: Date;
}

/** What a ticket's stream is granted. JSON has no Infinity: null stands for it. */
type Grants = Pick<Caller, 'sub' | 'topics' | 'wildcards' | 'issuedAt' | 'keyId' | 'minter'> & {
  readonly expiresAt: number | null;
};

interface Spent {
  readonly hash: Buffer;
  readonly tenant: string;
  readonly grants: Grants;
  /** It had not expired. */
  readonly good: boolean;
}

/**
 * What is locked is being spent by another instance, or expired. It is not waited for: two instances that were shown the
 * same tickets would wait for each other.
 *
 * $1 hashes
 */
const SPEND = `
  delete from belfry.tickets where hash in (
    select hash from belfry.tickets where hash = any($1) for update skip locked)
  returning hash, tenant, grants, expires_at > clock_timestamp() as good`;

/**
 * A ticket opens one stream, once and soon, on whichever instance: for EventSource, which can send neither a header nor, to
 * another site, a cookie. It travels in the URL, where others may read it; by then it is spent.
 */
@Injectable()
export class Tickets {
  /** By hash, in hexadecimal. */
  private readonly spending = new SharedQuery(hashes => this.delete(hashes));

  constructor(
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * A ticket for what the caller may read, without its scopes.
   *
   * @throws Outage
   */
  async issue({
    tenant,
    sub,
    topics,
    wildcards,
    expiresAt,
    issuedAt,
    keyId,
    minter,
  }: Caller): Promise<Ticket> {
    const ticket = `bt_${randomBytes(SECRET_BYTES).toString('base64url')}`;
    const grants: Grants = {
      sub,
      topics,
      wildcards,
      expiresAt: Number.isFinite(expiresAt) ? expiresAt : null,
      ...(issuedAt === undefined ? {} : { issuedAt }),
      ...(keyId === undefined ? {} : { keyId }),
      ...(minter === undefined ? {} : { minter }),
    };
    const [row] = await this.database.query<{ expires_at: Date }>({
      text: `with cleared as (
        delete from belfry.tickets where hash in (
          select hash from belfry.tickets where expires_at < statement_timestamp()
          order by expires_at limit ${CLEARED_AT_ONCE} for update skip locked)
      )
      insert into belfry.tickets (hash, tenant, grants, expires_at)
      values ($1, $2, $3, date_trunc('milliseconds', clock_timestamp()) + $4 * interval '1 millisecond')
      returning expires_at`,
      values: [hashOf(ticket), tenant, JSON.stringify(grants), this.config.ticketMs],
    });
    if (!row) throw new Error('an INSERT returned no row');
    return { ticket, expiresAt: row.expires_at };
  }

  /**
   * Who a ticket speaks for; from now on it is spent. Of several that try at once one succeeds: the row can be deleted
   * once.
   *
   * @throws Problem `ticket-invalid`; `ticket-spent` (or expired, or never issued); `rate-limited` when too many are being
   *   spent, and then it is not
   * @throws Outage when the database cannot be reached; it may be spent then
   */
  async spend(ticket: string): Promise<Caller> {
    if (!TICKET.test(ticket)) throw new Problem('ticket-invalid');
    const row = await this.spending.take(hashOf(ticket).toString('hex'));
    if (!row?.good) throw new Problem('ticket-spent');
    const { expiresAt, ...grants } = row.grants;
    return {
      ...grants,
      tenant: row.tenant,
      scopes: new Set(),
      expiresAt: expiresAt ?? Infinity,
      byTicket: true,
    };
  }

  private async delete(hashes: string[]): Promise<Map<string, Spent>> {
    const values = [hashes.map(hash => Buffer.from(hash, 'hex'))];
    const rows = await this.database.access<Spent>({ text: SPEND, values });
    return new Map(rows.map(row => [row.hash.toString('hex'), row]));
  }
}

function hashOf(ticket: string): Buffer {
  return createHash('sha256').update(ticket).digest();
}
