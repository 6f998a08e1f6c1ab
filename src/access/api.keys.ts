import { Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { randomBytes, timingSafeEqual } from 'node:crypto';

import { Database } from '../database/database.js';
import { Problem } from '../errors/problem.js';
import { ALL } from '../log/topic.js';
import { hashOf, isKeyId, KEY_PREFIX, makeKey, parseKey } from './api.key.js';
import type { Caller } from './caller.js';
import { wildcardsOf } from './claims.js';
import { keyLookup, type KeyRecord } from './key.lookup.js';
import { KeyUses } from './key.uses.js';
import type { SharedQuery } from './shared.query.js';

/** A key as its owner may see it: all but the secret, of which nobody has more than a hash. */
export interface ApiKey {
  /** Without `bk_`. */
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
  readonly scopes: readonly string[];
  readonly createdAt: Date;
  /** Null: it does not expire. */
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  /** To the minute. */
  readonly lastUsedAt: Date | null;
}

/** What is asked for, checked: see KEY_REQUEST for a name and scopes, and TENANT_NAME. */
interface NewKey {
  readonly tenant: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly expiresAt?: Date | null;
}

interface Remembered {
  readonly hash: Buffer;
  readonly caller: Caller;
}

/** Keys whose callers are remembered, at most so many. */
const REMEMBERED_KEYS = 10_000;
/** And looked up again after so long, in milliseconds, should somebody have changed or deleted their rows. */
const REMEMBERED_MS = 60_000;
/** Keys in one list, the newest ones. */
const LISTED_KEYS = 10_000;
/** The hash of a secret that nobody has. */
const NOBODYS_HASH = randomBytes(32);

const COLUMNS = `id, name, tenant, scopes, created_at as "createdAt", expires_at as "expiresAt",
  revoked_at as "revokedAt", last_used_at as "lastUsedAt"`;

const CREATE = `
  insert into belfry.api_keys (id, tenant, name, secret_hash, scopes, expires_at)
  values ($1, $2, $3, $4, $5, $6)
  returning ${COLUMNS}`;

/** $1 tenant; null: all of them. */
const LIST = `
  select ${COLUMNS} from belfry.api_keys where $1::text is null or tenant = $1
  order by created_at desc, id limit ${LISTED_KEYS}`;

/** $1 id, $2 tenant; null: whatever it is. */
const REVOKE = `
  select belfry.revoke(tenant, id, null) from belfry.api_keys where id = $1 and ($2::text is null or tenant = $2)`;

/** The credentials of backends: `bk_<id>_<secret>`, with a tenant and scopes, until they expire or are revoked. */
@Injectable()
export class ApiKeys implements BeforeApplicationShutdown {
  /** By id. Only keys that were shown with their secret, so that guessing pushes nobody out. */
  private readonly remembered = new LRUCache<string, Remembered>({
    max: REMEMBERED_KEYS,
    ttl: REMEMBERED_MS,
  });
  private readonly lookup: SharedQuery<KeyRecord>;
  private readonly uses: KeyUses;

  constructor(private readonly database: Database) {
    this.lookup = keyLookup(database);
    this.uses = new KeyUses(database);
  }

  /**
   * Turns a key into the caller it speaks for. One that is remembered costs no query; so a revocation that another
   * process made is for the caller of this method to know.
   *
   * @throws Problem `key-invalid`, which does not tell whether there is such an id; `key-revoked`, `key-expired`;
   *   `rate-limited` when too many keys are being looked up
   * @throws Outage
   */
  async verify(key: string): Promise<Caller> {
    const parts = parseKey(key);
    if (parts === undefined) throw new Problem('key-invalid');
    const hash = hashOf(parts.secret);
    const caller = this.recall(parts.id, hash) ?? (await this.find(parts.id, hash));
    if (caller.expiresAt <= Date.now()) throw new Problem('key-expired');
    this.uses.note(parts.id);
    return caller;
  }

  /** The next use of this key is looked up. */
  forget(id: string): void {
    this.remembered.delete(id);
  }

  /**
   * Makes a key.
   *
   * @returns the key as well, which cannot be had again
   * @throws Outage when the database cannot be reached; it may have been made then
   */
  async create({ tenant, name, scopes, expiresAt = null }: NewKey): Promise<ApiKey & { key: string }> {
    const { id, secret, key } = makeKey();
    const values = [id, tenant, name, hashOf(secret), scopes, expiresAt];
    const [created] = await this.database.query<ApiKey>({ text: CREATE, values });
    if (created === undefined) throw new Error('an INSERT … RETURNING returned no row');
    return { ...created, key };
  }

  /**
   * The keys of a tenant, or of all, newest first, expired and revoked ones too.
   *
   * @throws Outage when the database cannot be reached
   */
  list(tenant: string | undefined): Promise<ApiKey[]> {
    return this.database.query<ApiKey>({ text: LIST, values: [tenant ?? null] });
  }

  /**
   * Takes a key back, on all instances. It may be taken back again.
   *
   * @returns false when there is no such key, or not in that tenant
   * @throws Outage when the database cannot be reached; it may have been revoked then
   */
  async revoke(id: string, tenant?: string): Promise<boolean> {
    // What has not the shape of an id may be what Postgres takes for no text at all.
    if (!isKeyId(id)) return false;
    const revoked = await this.database.query({ text: REVOKE, values: [id, tenant ?? null] });
    if (revoked.length === 0) return false;
    this.forget(id);
    return true;
  }

  /** As long as there are sessions. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.uses.stop();
  }

  private recall(id: string, hash: Buffer): Caller | undefined {
    const known = this.remembered.get(id);
    return known && timingSafeEqual(known.hash, hash) ? known.caller : undefined;
  }

  /** A wrong secret comes here for a remembered key too: how long the answer takes does not tell that it exists. */
  private async find(id: string, hash: Buffer): Promise<Caller> {
    const record = await this.lookup.find(id);
    const matches = timingSafeEqual(record?.hash ?? NOBODYS_HASH, hash);
    if (record === undefined || !matches) throw new Problem('key-invalid');
    if (record.revoked) throw new Problem('key-revoked');
    const caller = callerOf(record);
    this.remembered.set(id, { hash, caller });
    return caller;
  }
}

function callerOf({ id, tenant, scopes, expiresAt }: KeyRecord): Caller {
  const granted = new Set(scopes);
  return {
    tenant,
    sub: `${KEY_PREFIX}${id}`,
    scopes: granted,
    topics: [ALL],
    wildcards: wildcardsOf(granted),
    expiresAt: expiresAt?.getTime() ?? Infinity,
    keyId: id,
  };
}
