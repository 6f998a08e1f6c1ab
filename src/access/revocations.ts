import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Subject } from 'rxjs';
import { Database } from '../database/database.js';
import type { ProblemCode } from '../errors/catalogue.js';
import { reasonOf } from '../errors/reason.js';
import { Doorbell } from '../tail/doorbell.js';
import { isKeyId, KEY_PREFIX } from './api.key.js';
import type { Caller } from './caller.js';

/** The table is looked at so often even when no bell rings, in milliseconds. */
const POLL_MS = 1_000;
const CHANNEL = 'belfry_revoked';

/** Whom to let in no more: all that a user was issued until now, or one key. */
export type Revoked = { readonly sub: string } | { readonly keyId: string };

interface Row {
  readonly n: string;
  readonly tenant: string;
  readonly key_id: string | null;
  readonly sub: string | null;
  readonly at: number;
}

/**
 * What was taken back before it expired, as every instance knows it: in memory, because it is asked for each request.
 * Instances hear of a new one at once over the doorbell's session, and within a second in any case.
 */
@Injectable()
export class Revocations implements OnApplicationBootstrap, OnApplicationShutdown {
  /** Emits when there are new ones. */
  readonly heard = new Subject<void>();

  private readonly logger = new Logger(Revocations.name);
  /** When each was revoked, in milliseconds since 1970. */
  private readonly users = new Map<string, number>();
  private readonly keys = new Set<string>();
  /** The newest that is known. */
  private last = '0';
  private reading: Promise<void> | undefined;
  private readAgain = false;
  private failed = false;
  private poll: NodeJS.Timeout | undefined;

  constructor(
    private readonly database: Database,
    private readonly doorbell: Doorbell,
  ) {
    this.doorbell.channel(CHANNEL).subscribe(() => {
      this.read();
    });
  }

  async onApplicationBootstrap(): Promise<void> {
    // Before the first request is let in.
    await this.readNew();
    this.doorbell.listening.subscribe(() => {
      // Another server may be behind the address now, and its numbers go on from what that one knew.
      this.last = '0';
      this.read();
    });
    this.poll = setInterval(() => {
      this.read();
    }, POLL_MS);
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.poll);
    await this.reading;
    this.heard.complete();
  }

  /**
   * Asked for each use of a credential that was found good.
   *
   * @returns `key-revoked` or `token-revoked` when it is good no more
   */
  find({ tenant, sub, keyId, issuedAt, minter }: Caller): ProblemCode | undefined {
    if (keyId !== undefined && this.keys.has(nameOf(tenant, keyId))) return 'key-revoked';
    if (minter && this.isRevoked(tenant, minter.sub, minter.issuedAt)) return 'token-revoked';
    if (keyId !== undefined && sub === `${KEY_PREFIX}${keyId}`) return undefined;
    return this.isRevoked(tenant, sub, issuedAt) ? 'token-revoked' : undefined;
  }

  /**
   * Takes back a key, or what a user was issued until now, and tells all instances.
   *
   * @returns when, by the database's clock; undefined when the tenant has no such key
   * @throws Outage
   */
  async revoke(tenant: string, what: Revoked): Promise<Date | undefined> {
    if ('keyId' in what && !isKeyId(what.keyId)) return undefined;
    const [row] = await this.database.query<{ at: Date | null }>({
      text: 'select belfry.revoke($1, $2, $3) as at',
      values: 'sub' in what ? [tenant, null, what.sub] : [tenant, what.keyId, null],
    });
    this.read();
    await this.reading;
    return row?.at ?? undefined;
  }

  /** Of a user's token. */
  private isRevoked(tenant: string, sub: string, issuedAt = -Infinity): boolean {
    const revokedAt = this.users.get(nameOf(tenant, sub));
    return revokedAt !== undefined && issuedAt <= revokedAt;
  }

  /** Reads on; now, or once more when reading already. */
  private read(): void {
    this.readAgain = true;
    this.reading ??= this.readAll();
  }

  private async readAll(): Promise<void> {
    try {
      while (this.readAgain) {
        this.readAgain = false;
        await this.readNew();
      }
      this.failed = false;
    } catch (error) {
      // The next bell or poll tries again.
      if (!this.failed) this.logger.warn(`the revocations could not be read: ${reasonOf(error)}`);
      this.failed = true;
    }
    this.reading = undefined;
  }

  private async readNew(): Promise<void> {
    const rows = await this.database.query<Row>({
      name: 'revocations',
      text: `select n, tenant, key_id, sub, (extract(epoch from revoked_at) * 1000)::float8 as at
        from belfry.revocations where n > $1 order by n`,
      values: [this.last],
    });
    for (const { n, tenant, key_id, sub, at } of rows) {
      if (key_id !== null) this.keys.add(nameOf(tenant, key_id));
      if (sub !== null) this.users.set(nameOf(tenant, sub), at);
      this.last = n;
    }
    if (rows.length > 0) this.heard.next();
  }
}

/** Unique, because a tenant's name has no slash. */
function nameOf(tenant: string, name: string): string {
  return `${tenant}/${name}`;
}
