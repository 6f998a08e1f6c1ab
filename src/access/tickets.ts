import { Inject, Injectable } from '@nestjs/common';
import { createHash, randomBytes } from 'node:crypto';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { Problem } from '../errors/problem.js';
import type { Caller } from './caller.js';

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
type Grants = Pick<Caller, 'sub' | 'topics' | 'wildcards' | 'issuedAt' | 'keyId'> & {
  readonly expiresAt: number | null;
};

/**
 * A ticket opens one stream, once and soon, on whichever instance: for EventSource, which can send neither a header nor, to
 * another site, a cookie. It travels in the URL, where others may read it; by then it is spent.
 */
@Injectable()
export class Tickets {
  constructor(
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * A ticket for what the caller may read, without its scopes.
   *
   * @throws Outage
   */
  async issue({ tenant, sub, topics, wildcards, expiresAt, issuedAt, keyId }: Caller): Promise<Ticket> {
    const ticket = `bt_${randomBytes(SECRET_BYTES).toString('base64url')}`;
    const grants: Grants = {
      sub,
      topics,
      wildcards,
      expiresAt: Number.isFinite(expiresAt) ? expiresAt : null,
      ...(issuedAt === undefined ? {} : { issuedAt }),
      ...(keyId === undefined ? {} : { keyId }),
    };
    const [row] = await this.database.query<{ expires_at: Date }>({
      text: `with cleared as (
        delete from belfry.tickets where hash in (
          select hash from belfry.tickets where expires_at < clock_timestamp()
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
   * @throws Problem `ticket-invalid`, `ticket-spent` (or expired, or never issued)
   * @throws Outage
   */
  async spend(ticket: string): Promise<Caller> {
    if (!TICKET.test(ticket)) throw new Problem('ticket-invalid');
    const [row] = await this.database.query<{ tenant: string; grants: Grants; good: boolean }>({
      text: `delete from belfry.tickets where hash = $1
      returning tenant, grants, expires_at > clock_timestamp() as good`,
      values: [hashOf(ticket)],
    });
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
}

function hashOf(ticket: string): Buffer {
  return createHash('sha256').update(ticket).digest();
}
