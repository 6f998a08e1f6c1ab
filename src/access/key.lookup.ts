import type { Database } from '../database/database.js';
import { SharedQuery } from './shared.query.js';

/** What a key is judged by. */
export interface KeyRecord {
  readonly id: string;
  readonly tenant: string;
  /** SHA-256 of its secret. */
  readonly hash: Buffer;
  readonly scopes: readonly string[];
  readonly expiresAt: Date | null;
  readonly revoked: boolean;
}

const FIND = `
  select id, tenant, secret_hash as hash, scopes, expires_at as "expiresAt", revoked_at is not null as revoked
  from belfry.api_keys where id = any($1)`;

/** Looks keys up by their ids. */
export function keyLookup(database: Database): SharedQuery<KeyRecord> {
  return new SharedQuery(async ids => {
    const records = await database.access<KeyRecord>({ name: 'find-keys', text: FIND, values: [ids] });
    return new Map(records.map(record => [record.id, record]));
  });
}
